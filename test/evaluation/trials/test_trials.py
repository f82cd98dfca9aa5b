"""Trials with scripted policies in physics, and what their ends are called."""

import numpy as np
import pytest
from vinn.demos.types import ActionScale
from vinn.errors import ConfigError
from vinn.evaluation.statistics import UNKNOWN, SuccessRate, share_at_first
from vinn.evaluation.trials import (
    Failure,
    StopAt,
    as_json,
    classify,
    opened_at_first,
    run_trial,
    run_trials,
    success_by_cabinet,
    trial_seed,
)
from vinn.policies.types import Prediction
from vinn.robot.types import JointCommand, ReasonCode, StepResult
from vinn.rollout.config import RolloutConfig
from vinn.rollout.loop import RolloutOutcome, StepRecord
from vinn.sim.cabinets import CABINETS
from vinn.sim.expert import DoorExpert
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld

pytestmark = pytest.mark.physics


class Scripted:
    """A policy that always says the same."""

    def __init__(self, camera_delta=(0.0, 0.0, 0.0), gripper=0, scale=ActionScale.METRIC):
        self.camera_delta = np.array(camera_delta, dtype=np.float64)
        self.gripper = gripper
        self.action_scale = scale
        self.resets = 0

    def reset(self):
        self.resets += 1

    def advance(self, prediction, step):
        pass

    def predict(self, image_rgb):
        return Prediction(
            self.camera_delta, float(self.gripper), np.eye(4)[self.gripper], self.action_scale
        )


class Expert(Scripted):
    """Looks at the world instead of the image."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def reset(self):
        self.expert = DoorExpert(self.world, 0)

    def predict(self, image_rgb):
        step = self.expert.next_step()
        if step is None:
            return super().predict(image_rgb)
        state = int(step.gripper)
        return Prediction(step.camera_delta_m, float(state), np.eye(4)[state], self.action_scale)


@pytest.fixture(scope="module")
def world():
    with DoorWorld(SceneConfig(cabinet=CABINETS["white"])) as world:
        yield world


def test_standing_still_opens_nothing(world):
    world.reset(1)
    result = run_trial(Scripted(), world, rollout=RolloutConfig(max_steps=6))
    assert (result.grasped, result.opened, result.fully_opened) == (False, False, False)
    assert result.reason is ReasonCode.STEP_LIMIT
    assert result.failure is Failure.STALLED
    assert abs(result.angle_rad) < np.radians(1)


def test_closing_in_the_air_misses_the_handle(world):
    world.reset(2)
    result = run_trial(
        Scripted((0, 0, -0.03), gripper=3), world, rollout=RolloutConfig(max_steps=4)
    )
    assert not result.opened
    assert result.failure is Failure.MISSED_HANDLE


def test_moving_until_the_end_is_a_time_out(world):
    world.reset(3)
    result = run_trial(Scripted((0.01, 0, -0.01)), world, rollout=RolloutConfig(max_steps=4))
    assert result.failure is Failure.TIME_OUT
    assert result.steps == 4


def test_the_expert_opens(world):
    world.reset(4)
    half = run_trial(Expert(world), world, stop_at=StopAt.OPENED)
    assert (half.grasped, half.opened, half.reason) == (True, True, ReasonCode.SUCCESS)
    assert half.failure is Failure.NONE
    world.reset(4)
    full = run_trial(Expert(world), world)
    assert full.fully_opened
    assert full.steps > half.steps
    assert full.angle_rad > half.angle_rad


def test_trials_are_numbered_reported_and_repeatable():
    scenes = [SceneConfig(cabinet=CABINETS[name]) for name in ("oak", "walnut")]
    policy, seen = Scripted((0.005, 0, 0.02)), []
    limits = RolloutConfig(max_steps=2)
    results = run_trials(policy, scenes, 2, seed=7, rollout=limits, on_trial=seen.append)
    assert seen == results
    assert policy.resets == 4
    assert [(r.cabinet, r.trial) for r in results] == [
        ("oak", 0), ("oak", 1), ("walnut", 0), ("walnut", 1),
    ]  # fmt: skip
    assert len({r.seed for r in results}) == 4
    assert results == run_trials(policy, scenes, 2, seed=7, rollout=limits)
    assert set(success_by_cabinet(results)) == {"oak", "walnut"}
    assert as_json(results[0])["failure"] == results[0].failure.value


def test_seeds_differ_by_run_scene_and_trial():
    seeds = {trial_seed(*key) for key in np.ndindex(5, 5, 20)}
    assert len(seeds) == 500


@pytest.mark.parametrize(("scenes", "count"), [([], 1), ([SceneConfig()], 0)])
def test_nothing_to_do_is_refused(scenes, count):
    with pytest.raises(ConfigError):
        run_trials(Scripted(), scenes, count, seed=0)


def test_action_scale_must_fit(world):
    world.reset(0)
    with pytest.raises(ConfigError, match="unit"):
        run_trial(Scripted(scale=ActionScale.UNIT), world)


def outcome(reason, delta_m=0.02, closed=False, count=5):
    result = StepResult(
        reason=ReasonCode.NONE,
        message="",
        requested_base_delta_m=np.full(3, delta_m),
        sent_base_delta_m=np.full(3, delta_m),
        sent=JointCommand(0, 0, 0, 0, 0, 0),
        gripper_closed=closed,
        duration_s=1.0,
    )
    record = StepRecord(1, ReasonCode.NONE, "", None, result, 0.0, 0.0)
    return RolloutOutcome(reason, "", (record,) * count, 1.0)


@pytest.mark.parametrize(
    ("ended", "opened", "grasped", "grasping", "failure"),
    [
        (outcome(ReasonCode.SUCCESS), True, True, True, Failure.NONE),
        (outcome(ReasonCode.STEP_LIMIT), True, True, False, Failure.NONE),
        (outcome(ReasonCode.STEP_LIMIT, closed=True), False, True, False, Failure.SLIPPED),
        (outcome(ReasonCode.STEP_LIMIT, closed=True), False, True, True, Failure.STALLED),
        (outcome(ReasonCode.STALLED, closed=True), False, False, False, Failure.MISSED_HANDLE),
        (outcome(ReasonCode.STALLED), False, False, False, Failure.STALLED),
        (outcome(ReasonCode.STEP_LIMIT, delta_m=0.0), False, False, False, Failure.STALLED),
        (outcome(ReasonCode.TIME_LIMIT), False, False, False, Failure.TIME_OUT),
        (outcome(ReasonCode.NO_GRASP, closed=True), False, False, False, Failure.MISSED_HANDLE),
        (outcome(ReasonCode.NO_GRASP, closed=True), False, True, False, Failure.SLIPPED),
        (outcome(ReasonCode.RUNSTOP), False, False, False, Failure.FAULT),
        (outcome(ReasonCode.STEP_LIMIT, count=0), False, False, False, Failure.TIME_OUT),
    ],
)
def test_failures(ended, opened, grasped, grasping, failure):
    assert classify(ended, opened, grasped, grasping) is failure


def test_rate_has_a_wilson_interval():
    rate = SuccessRate.of([True] * 27 + [False] * 3)
    assert (rate.successes, rate.trials) == (27, 30)
    assert rate.low == pytest.approx(0.744, abs=1e-3)
    assert rate.high == pytest.approx(0.965, abs=1e-3)


@pytest.mark.parametrize(
    ("opened", "attempts", "first"),
    [
        (True, 0, True),  # pushed open: nothing had to be grasped
        (True, 1, True),
        (True, 2, False),
        (False, 1, False),
        (False, 3, False),
        (True, None, None),
        (False, None, None),
    ],
)
def test_the_first_attempt_is_one_closing_at_most(opened, attempts, first):
    assert opened_at_first(opened, attempts) is first


def test_rate_at_the_first_attempt_is_unknown_where_one_trial_is():
    assert share_at_first([True, False, True]) == "2 / 3"
    assert share_at_first([True, None, True]) == UNKNOWN
    assert SuccessRate.at_first([None, True]) is None
