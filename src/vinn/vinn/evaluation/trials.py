"""Closed-loop trials in simulation, without ROS: policy, motion filter, executor and step loop.

Everything but the processes is what the nodes run: the same `run_rollout`, `StepExecutor` and
`MotionFilter`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from vinn.errors import ConfigError
from vinn.evaluation.statistics import SuccessRate, opened_at_first
from vinn.policies.types import Policy, Prediction, begin_episode, taken_step
from vinn.robot.config import RobotConfig
from vinn.robot.types import ReasonCode, StepRequest, StepResult
from vinn.rollout.config import RolloutConfig
from vinn.rollout.loop import RolloutOutcome, StepRecord, run_rollout
from vinn.sim.driver import SimulatedStretch
from vinn.sim.episode import robot_config, step_executor
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld

SESSION = "trial"
MAX_TRIALS = 100_000
"""Trials per scene; keeps the seeds of different scenes and runs apart."""
STILL_STEPS = 4
STILL_M = 0.004
"""So many last steps, each commanded shorter than this, are a policy that stands still."""


class StopAt(str, Enum):
    """How far the door has to be open for a trial to end."""

    OPENED = "opened"
    FULLY_OPENED = "fully_opened"


class Failure(str, Enum):
    """Why the door was not opened."""

    NONE = "none"
    MISSED_HANDLE = "missed_handle"
    """Closed the gripper and never had the handle."""
    SLIPPED = "slipped"
    """Had the handle and lost it."""
    STALLED = "stalled"
    """Stood still, or did not get on, until the end."""
    TIME_OUT = "time_out"
    """Still moving when the steps or the time were used up."""
    FAULT = "fault"
    """Ended by a reason code that is neither success nor a limit."""


@dataclass(frozen=True)
class TrialResult:
    """How one trial went.

    Attributes:
        cabinet: name of the scene's cabinet.
        trial: number within the scene, 0 first.
        seed: of the world's reset; repeats the trial.
        grasped: both fingers touched the handle while closed, at some time.
        opened: the door reached 30 degrees.
        fully_opened: the door reached 60 degrees.
        angle_rad: the door's angle at the end.
        reason: why the rollout ended.
        steps: steps sent to the robot.
        failure: NONE if opened.
        duration_s: simulated time.
        predict_s: wall time per prediction, in order, rendering not included.
        attempts: closings of the gripper begun; None in results from before they were counted.
    """

    cabinet: str
    trial: int
    seed: int
    grasped: bool
    opened: bool
    fully_opened: bool
    angle_rad: float
    reason: ReasonCode
    steps: int
    failure: Failure
    duration_s: float
    predict_s: tuple[float, ...] = ()
    attempts: int | None = None

    @property
    def first_attempt(self) -> bool | None:
        """Whether the door was opened without a second closing; None: not known."""
        return opened_at_first(self.opened, self.attempts)


def trial_seed(seed: int, scene: int, trial: int) -> int:
    """Seed of the world for a trial; differs for every run seed, scene and trial.

    The offset keeps trials apart from demonstrations, which count their seeds from 0 upwards.
    """
    return int(np.random.SeedSequence([seed, scene, trial, 0x7E57]).generate_state(1)[0])


def check_trials(scenes: int, trials_per_scene: int) -> None:
    """Refuse what is no number of trials.

    Raises:
        ConfigError: no scene, or a number of trials out of range.
    """
    if not scenes:
        raise ConfigError("trials: no scene; at least one cabinet is needed")
    if not 1 <= trials_per_scene <= MAX_TRIALS:
        raise ConfigError(f"trials per scene = {trials_per_scene}; allowed: 1 to {MAX_TRIALS}")


def run_trials(
    policy: Policy,
    scenes: Sequence[SceneConfig],
    trials_per_scene: int,
    seed: int,
    rollout: RolloutConfig | None = None,
    robot: RobotConfig | None = None,
    stop_at: StopAt = StopAt.FULLY_OPENED,
    on_trial: Callable[[TrialResult], None] | None = None,
) -> list[TrialResult]:
    """Run `trials_per_scene` trials in every scene, in this process.

    For a policy that is an artefact `vinn.evaluation.door_trials` has them in several.

    Args:
        policy: its `reset` is called before each trial.
        scenes: one world each.
        trials_per_scene: 1 or more.
        seed: decides starts, appearances and noise of all trials.
        rollout: limits; defaults as on the robot.
        robot: settings of motion filter and executor; None takes what fits each scene.
        stop_at: when a trial ends as a success. Waiting for `fully_opened` measures all three
            levels of success.
        on_trial: told each result as it comes.

    Raises:
        ConfigError: no scene, a number of trials out of range, or a robot configuration for
            another action scale than the policy's.
    """
    check_trials(len(scenes), trials_per_scene)
    results = []
    for index, scene in enumerate(scenes):
        with DoorWorld(scene) as world:
            for trial in range(trials_per_scene):
                world.reset(trial_seed(seed, index, trial))
                result = run_trial(policy, world, trial, rollout, robot, stop_at)
                results.append(result)
                if on_trial is not None:
                    on_trial(result)
    return results


def run_trial(
    policy: Policy,
    world: DoorWorld,
    trial: int = 0,
    rollout: RolloutConfig | None = None,
    robot: RobotConfig | None = None,
    stop_at: StopAt = StopAt.FULLY_OPENED,
    on_step: Callable[[StepRecord], None] | None = None,
) -> TrialResult:
    """Run one trial in a world that was just reset.

    `on_step` is told every step as it ends; for the other arguments see `run_trials`.
    """
    robot = robot or robot_config(world.scene)
    if robot.motion.action_scale is not policy.action_scale:
        raise ConfigError(
            f"motion.action_scale = {robot.motion.action_scale.value}, but the policy's actions "
            f"are {policy.action_scale.value}: give a robot configuration that fits"
        )
    executor = step_executor(world, robot)
    executor.begin_session(SESSION)
    begin_episode(policy, world.seed)
    driver = SimulatedStretch(world)  # only its clock: simulated time across resets

    def predict(settled_s: float) -> Prediction:
        # Time stands still between steps, so any image is one taken after the motion settled.
        return policy.predict(world.wrist_image())

    def execute(prediction: Prediction, sequence: int) -> StepResult:
        return executor.execute(
            StepRequest(
                session=SESSION,
                sequence=sequence,
                camera_delta=prediction.camera_delta,
                gripper_value=prediction.gripper_value,
                gripper_probabilities=prediction.gripper_probabilities,
                novelty=prediction.novelty,
                refusal=prediction.refusal,
                action_scale=prediction.action_scale,
            )
        )

    def check() -> ReasonCode | None:
        done = world.fully_opened if stop_at is StopAt.FULLY_OPENED else world.opened
        return ReasonCode.SUCCESS if done else executor.check_robot()

    def advance(prediction: Prediction, result: StepResult) -> None:
        policy.advance(prediction, taken_step(result))

    outcome = run_rollout(
        predict, execute, check, rollout or RolloutConfig(), on_step, driver.now_s, advance
    )
    return TrialResult(
        cabinet=world.scene.cabinet.name,
        trial=trial,
        seed=world.seed,
        grasped=world.grasped,
        opened=world.opened,
        fully_opened=world.fully_opened,
        angle_rad=world.door_angle_rad,
        reason=outcome.reason,
        steps=outcome.steps,
        failure=classify(outcome, world.opened, world.grasped, world.grasping),
        duration_s=outcome.duration_s,
        predict_s=tuple(
            sum(record.prediction.latency_s.values())
            for record in outcome.records
            if record.prediction is not None
        ),
        attempts=outcome.attempts,
    )


def classify(outcome: RolloutOutcome, opened: bool, grasped: bool, grasping: bool) -> Failure:
    """Why a rollout did not open the door.

    Args:
        outcome: of the step loop.
        opened: the door was opened; then nothing failed.
        grasped: the handle was held at some time.
        grasping: the handle is held at the end.
    """
    if opened:
        return Failure.NONE
    ends = (
        ReasonCode.STEP_LIMIT,
        ReasonCode.TIME_LIMIT,
        ReasonCode.STALLED,
        ReasonCode.NO_GRASP,
    )
    if outcome.reason not in ends:
        return Failure.FAULT
    if grasped:
        return Failure.STALLED if grasping else Failure.SLIPPED
    results = [record.result for record in outcome.records if record.result is not None]
    if any(result.gripper_closed for result in results):
        return Failure.MISSED_HANDLE
    last = results[-STILL_STEPS:]
    still = all(np.linalg.norm(result.sent_base_delta_m) < STILL_M for result in last)
    if outcome.reason is ReasonCode.STALLED or (len(last) == STILL_STEPS and still):
        return Failure.STALLED
    return Failure.TIME_OUT


def success_by_cabinet(results: Sequence[TrialResult]) -> dict[str, SuccessRate]:
    """The rate of opened doors for each cabinet, in the order of the results."""
    cabinets = dict.fromkeys(result.cabinet for result in results)
    return {
        name: SuccessRate.of(result.opened for result in results if result.cabinet == name)
        for name in cabinets
    }


def as_json(result: TrialResult) -> dict[str, object]:
    """A result for a JSON file; the angle in degrees."""
    return {
        "cabinet": result.cabinet,
        "trial": result.trial,
        "seed": result.seed,
        "grasped": result.grasped,
        "opened": result.opened,
        "fully_opened": result.fully_opened,
        "angle_deg": round(math.degrees(result.angle_rad), 2),
        "reason": result.reason.value,
        "steps": result.steps,
        "failure": result.failure.value,
        "duration_s": round(result.duration_s, 2),
        "attempts": result.attempts,
    }
