"""The step loop with scripted policies and robots."""

from pathlib import Path

import numpy as np
import pytest
from vinn.demos.types import ActionScale
from vinn.errors import ArtefactError, CameraError, ConfigError, ImageError, RobotError
from vinn.policies.types import Prediction
from vinn.robot.types import JointCommand, ReasonCode, StepResult
from vinn.rollout.config import RolloutConfig, StartPosesConfig, load_rollout_config
from vinn.rollout.loop import RolloutInterrupted, run_rollout
from vinn.rollout.start_poses import StartPoses

R = ReasonCode
PREDICTION = Prediction(
    camera_delta=np.zeros(3),
    gripper_value=0.0,
    gripper_probabilities=np.array([1.0, 0, 0, 0]),
    action_scale=ActionScale.METRIC,
)


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def a_result(reason=R.NONE, sent=True):
    return StepResult(
        reason=reason,
        message="" if reason is R.NONE else "trouble",
        requested_base_delta_m=np.zeros(3),
        sent_base_delta_m=np.zeros(3),
        sent=JointCommand(0, 0, 0, 0, 0, 0) if sent else None,
        gripper_closed=False,
        duration_s=0.1,
    )


def rollout(reasons=(), check=lambda: None, predict=None, **config):
    """Run with a robot whose steps end with `reasons`, then NONE."""
    clock, reasons, sequences = Clock(), list(reasons), []

    def default_predict(settled_s):
        clock.now_s += 0.05
        return PREDICTION

    def execute(prediction, sequence):
        clock.now_s += 0.5
        sequences.append(sequence)
        reason = reasons.pop(0) if reasons else R.NONE
        if isinstance(reason, Exception):
            raise reason
        return a_result(reason)

    outcome = run_rollout(
        predict or default_predict, execute, check, RolloutConfig(**config), clock=clock
    )
    return outcome, sequences


def test_ends_at_the_step_limit_with_a_record_per_step():
    outcome, sequences = rollout(max_steps=7)
    assert (outcome.reason, outcome.steps, outcome.success) == (R.STEP_LIMIT, 7, False)
    assert sequences == list(range(1, 8)) == [r.sequence for r in outcome.records]
    for record in outcome.records:
        assert record.prediction is PREDICTION and record.result.reason is R.NONE
        assert record.predict_s == pytest.approx(0.05)
        assert record.execute_s == pytest.approx(0.5)
    assert outcome.duration_s == pytest.approx(7 * 0.55)


def test_ends_on_success_seen_after_a_step():
    checks = iter([None, None, None, R.SUCCESS])
    outcome, sequences = rollout(check=lambda: next(checks))
    assert outcome.success and sequences == [1, 2, 3]


def test_a_stop_before_the_first_step_executes_nothing():
    outcome, sequences = rollout(check=lambda: R.OPERATOR_STOP)
    assert (outcome.reason, sequences, outcome.records) == (R.OPERATOR_STOP, [], ())


def test_ends_at_the_time_limit():
    outcome, sequences = rollout(max_duration_s=2.0)
    assert outcome.reason is R.TIME_LIMIT and len(sequences) == 4


def test_every_prediction_is_told_when_the_last_motion_settled():
    settled, clock = [], Clock()

    def predict(settled_s):
        settled.append(settled_s)
        clock.now_s += 1.0
        return PREDICTION

    def execute(prediction, sequence):
        clock.now_s += 2.0
        return a_result()

    run_rollout(predict, execute, lambda: None, RolloutConfig(max_steps=3), clock=clock)
    assert settled == [100.0, 103.0, 106.0]


def test_tolerated_trouble_in_a_row_ends_it_only_beyond_its_count():
    config = {"tolerated": {R.UNREACHABLE: 2}, "max_steps": 9}
    outcome, _ = rollout([R.UNREACHABLE] * 2, **config)
    assert outcome.reason is R.STEP_LIMIT and outcome.steps == 9
    outcome, sequences = rollout([R.UNREACHABLE] * 3, **config)
    assert outcome.reason is R.UNREACHABLE and len(sequences) == 3
    assert outcome.message == "trouble"
    # A good step in between starts the count again.
    outcome, _ = rollout([R.UNREACHABLE, R.UNREACHABLE, R.NONE] * 3, **config)
    assert outcome.reason is R.STEP_LIMIT


@pytest.mark.parametrize("fault", [R.RUNSTOP, R.LATCHED, R.STATE_STALE, R.ROBOT_ERROR, R.TIMEOUT])
def test_faults_end_it_at_once(fault):
    outcome, sequences = rollout([R.NONE, fault])
    assert outcome.reason is fault and sequences == [1, 2]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CameraError("no camera"), R.CAMERA_STALE),
        (ArtefactError("gone"), R.POLICY_LOST),
        (RolloutInterrupted(R.EXECUTOR_LOST, "no answer"), R.EXECUTOR_LOST),
    ],
)
def test_errors_while_predicting_end_it_without_a_step(error, reason):
    def predict(settled_s):
        raise error

    outcome, sequences = rollout(predict=predict)
    assert (outcome.reason, outcome.message, sequences) == (reason, str(error), [])
    assert outcome.records[0].prediction is None and outcome.steps == 0


def test_bad_images_are_tolerated_for_a_while():
    looks = iter([ImageError("black")] * 3 + [None] * 99)

    def predict(settled_s):
        error = next(looks)
        if error:
            raise error
        return PREDICTION

    outcome, sequences = rollout(predict=predict, max_steps=5)
    assert outcome.reason is R.STEP_LIMIT and sequences == [4, 5] and outcome.steps == 2


def test_errors_while_executing_are_the_robots():
    outcome, _ = rollout([RobotError("goal refused")])
    assert (outcome.reason, outcome.message) == (R.ROBOT_ERROR, "goal refused")
    assert outcome.records[0].prediction is PREDICTION


def test_bugs_are_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        rollout([ZeroDivisionError()])


def test_start_poses_repeat_by_seed_and_index_and_fill_their_ranges():
    config = StartPosesConfig(right_m=(-0.1, 0.1), forward_m=(-0.03, 0.0), up_m=(0.02, 0.02))
    offsets = np.array([StartPoses(config, 7).offset(i) for i in range(300)])
    assert np.array_equal(offsets[41], StartPoses(config, 7).offset(41))
    assert not np.array_equal(offsets[41], StartPoses(config, 8).offset(41))
    assert (offsets.min(axis=0) >= [-0.1, -0.03, 0.02]).all()
    assert (offsets.max(axis=0) <= [0.1, 0.0, 0.02]).all()
    assert np.ptp(offsets[:, 0]) > 0.18 and abs(np.median(offsets[:, 0])) < 0.03


def test_a_schedule_is_followed_in_turn():
    schedule = ((0.1, 0.0, 0.0), (-0.1, 0.0, 0.05))
    poses = StartPoses(StartPosesConfig(schedule=schedule), 0)
    assert [tuple(poses.offset(i)) for i in range(4)] == [*schedule, *schedule]


def test_the_shipped_file_states_the_defaults_and_bad_ones_are_refused(tmp_path):
    shipped = Path(__file__).parents[2] / "config" / "robot" / "rollout.yaml"
    assert load_rollout_config(shipped) == RolloutConfig()
    for text, part in [
        ("max_steps: 0", "max_steps"),
        ("tolerated: {WRONG: 1}", "WRONG"),
        ("start_poses: {right_m: [0.1, -0.1]}", "right_m"),
        ("start_poses: {schedule: [[1, 0, 0]]}", "schedule"),
        ("steps: 3", "steps"),
    ]:
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=part):
            load_rollout_config(path)


def test_steps_that_were_sent_and_no_others_advance_the_policy():
    reasons = iter([R.NONE, R.UNREACHABLE, R.NOVEL, R.STALLED, RobotError("busy")])
    told = []

    def execute(prediction, sequence):
        reason = next(reasons)
        if isinstance(reason, Exception):
            raise reason
        return a_result(reason, sent=reason is not R.NOVEL)

    clock = Clock()
    outcome = run_rollout(
        lambda settled_s: PREDICTION,
        execute,
        lambda: None,
        RolloutConfig(),
        clock=clock,
        advance=lambda prediction, result: told.append((prediction is PREDICTION, result.reason)),
    )
    assert outcome.reason is R.ROBOT_ERROR
    assert told == [(True, R.NONE), (True, R.UNREACHABLE), (True, R.STALLED)]


def test_a_policy_that_cannot_advance_is_lost():
    def advance(prediction, result):
        raise ArtefactError("not mine")

    outcome = run_rollout(
        lambda settled_s: PREDICTION,
        lambda prediction, sequence: a_result(),
        lambda: None,
        RolloutConfig(),
        clock=Clock(),
        advance=advance,
    )
    assert (outcome.reason, outcome.message, outcome.steps) == (R.POLICY_LOST, "not mine", 1)
