"""Closed-loop trials of any task that has a scene (`vinn.tasks.types.TaskScene`).

The step loop, the gripper's rules, the refusals and what a policy is told of a step are those of
the robot; what is left out is what only a Stretch has: inverse kinematics, joint limits, arrival.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError
from vinn.evaluation.policy_source import PolicySource, opened_policy
from vinn.evaluation.recorded_trials import watched_rollout
from vinn.evaluation.statistics import SuccessRate, opened_at_first
from vinn.evaluation.trials import MAX_TRIALS, SESSION, trial_seed
from vinn.paper.grasp.detectors import UNIT_STEP_M, robot_of_actions
from vinn.policies.types import Policy, Prediction, begin_episode, taken_step
from vinn.robot.config import RobotConfig
from vinn.robot.gripper import GripperMemory, decide_gripper, gripper_signal, note_motion
from vinn.robot.kinematics import gripper_R_camera
from vinn.robot.motion_filter import clip_length
from vinn.robot.request_checks import check_finite, check_refusal
from vinn.robot.types import JointCommand, ReasonCode, StepRequest, StepResult
from vinn.rollout.config import RolloutConfig
from vinn.rollout.loop import StepRecord, run_rollout
from vinn.tasks.registry import task_named
from vinn.tasks.types import Task, TaskScene, TaskSettings

ROLLOUT = RolloutConfig(max_steps=80)
"""The longest demonstrations of the tasks have about 60 steps."""
TRIAL_IMAGE_PX = 224
"""Side of the pictures; encoders make them as large as they need."""


@dataclass(frozen=True)
class TaskTrial:
    """How one trial of a task went.

    Attributes:
        trial: number, 0 first.
        seed: of the scene; repeats the trial.
        success: the task was done.
        reason: why the rollout ended.
        steps: that the hand was sent.
        attempts: closings of the gripper begun.
    """

    trial: int
    seed: int
    success: bool
    reason: ReasonCode
    steps: int
    attempts: int

    @property
    def first_attempt(self) -> bool:
        """Whether the task was done with one closing at most."""
        return bool(opened_at_first(self.success, self.attempts))

    def as_json(self) -> dict[str, object]:
        """The trial for a JSON file."""
        return {
            "trial": self.trial,
            "seed": self.seed,
            "success": self.success,
            "reason": self.reason.value,
            "steps": self.steps,
            "attempts": self.attempts,
        }


@dataclass(frozen=True)
class SceneTrial:
    """One trial in a scene that no demonstration shows; a job for `TrialPool`.

    Attributes:
        policy: where it is, or the policy itself for trials in this process.
        task: its name, or the task itself for trials in this process.
        settings: of its pictures, as in the demonstrations.
        trial: number, 0 first.
        seed: of the scene.
        rollout: limits.
        robot: how the camera sits, the longest step, the gripper's rules; None: the task's, with
            steps of `UNIT_STEP_M` for actions of length 1.
        recordings: folder for TASK-NUMBER.mcap; None: nothing is recorded.
    """

    policy: PolicySource | Policy
    task: str | Task
    settings: TaskSettings
    trial: int
    seed: int
    rollout: RolloutConfig = ROLLOUT
    robot: RobotConfig | None = None
    recordings: Path | None = None

    def run(self) -> TaskTrial:
        """Do it in this process.

        Raises:
            ConfigError: the task has no scene or its simulator is missing, or the robot's
                configuration is for another action scale than the policy's.
        """
        source, task = self.policy, self.task
        policy = opened_policy(source) if isinstance(source, PolicySource) else source
        task = task_named(task) if isinstance(task, str) else task
        if task.scene is None:
            raise ConfigError(
                f"task {task.name}: has trials of its own; allowed: a task with a scene"
            )
        robot = self.robot or robot_of_actions(policy.action_scale, UNIT_STEP_M, task.robot)
        if robot.motion.action_scale is not policy.action_scale:
            raise ConfigError(
                f"motion.action_scale = {robot.motion.action_scale.value}, but the policy's "
                f"actions are {policy.action_scale.value}: give a robot configuration that fits"
            )
        scene = task.scene(self.settings, self.seed)
        try:
            if self.recordings is None:
                return self._run(policy, scene, robot)
            directory = source.directory if isinstance(source, PolicySource) else None
            path = self.recordings / f"{task.name}-{self.trial:03d}.mcap"
            watched_scene = WatchedTask(scene)
            with watched_rollout(policy, path, directory, watched_scene) as watched:
                result = self._run(watched, scene, robot, watched_scene.after(watched.step_ended))
                watched.ended(result.reason, result.steps, result.attempts)
                return result
        finally:
            scene.close()

    def _run(
        self,
        policy: Policy,
        scene: TaskScene,
        robot: RobotConfig,
        on_step: Callable[[StepRecord], None] | None = None,
    ) -> TaskTrial:
        hand = _Hand(scene, robot)
        begin_episode(policy, self.seed)

        def predict(settled_s: float) -> Prediction:
            return policy.predict(scene.wrist_image())

        def check() -> ReasonCode | None:
            return ReasonCode.SUCCESS if scene.success else None

        def advance(prediction: Prediction, result: StepResult) -> None:
            policy.advance(prediction, taken_step(result))

        # Time stands still between steps: no rollout ends by the clock.
        outcome = run_rollout(
            predict, hand.execute, check, self.rollout, on_step, lambda: 0.0, advance
        )
        return TaskTrial(
            trial=self.trial,
            seed=self.seed,
            success=outcome.success,
            reason=outcome.reason,
            steps=outcome.steps,
            attempts=outcome.attempts,
        )


def task_trials(
    policy: PolicySource | Policy,
    task: str | Task,
    settings: TaskSettings,
    trials: int,
    seed: int,
    rollout: RolloutConfig = ROLLOUT,
    robot: RobotConfig | None = None,
    recordings: Path | None = None,
) -> list[SceneTrial]:
    """Trials of a task, their scenes decided by `seed`; for the rest see `SceneTrial`.

    Raises:
        ConfigError: the number of trials is out of range.
    """
    if not 1 <= trials <= MAX_TRIALS:
        raise ConfigError(f"trials = {trials}; allowed: 1 to {MAX_TRIALS}")
    return [
        SceneTrial(
            policy, task, settings, trial, trial_seed(seed, 0, trial), rollout, robot, recordings
        )
        for trial in range(trials)
    ]


def task_rates(results: Sequence[TaskTrial]) -> tuple[SuccessRate, SuccessRate]:
    """How often the task was done, with retries and at the first attempt."""
    return (
        SuccessRate.of(result.success for result in results),
        SuccessRate.of(result.first_attempt for result in results),
    )


class WatchedTask:
    """A scene of which pictures alone are recorded; a step counts as `STEP_S`."""

    STEP_S = 0.2

    def __init__(self, scene: TaskScene) -> None:
        self._scene, self._steps = scene, 0

    @property
    def now_s(self) -> float:
        """See `WatchedScene`."""
        return self._steps * self.STEP_S

    def after(self, on_step: Callable[[StepRecord], None]) -> Callable[[StepRecord], None]:
        """Let time pass by steps, then tell of them."""

        def told(record: StepRecord) -> None:
            self._steps += 1
            on_step(record)

        return told

    def onlooker_image(self) -> NDArray[np.uint8]:
        """See `WatchedScene`."""
        return self._scene.overview_image()

    def messages(self, stamp_ns: int) -> list[tuple[str, str, dict[str, Any]]]:
        """See `WatchedScene`."""
        return []


class _Hand:
    """Does the steps of one trial, judged as the motion filter judges a robot's."""

    def __init__(self, scene: TaskScene, robot: RobotConfig) -> None:
        self._scene, self._robot = scene, robot
        self._gripper_R_camera = gripper_R_camera(robot.camera)
        self._gripper = GripperMemory()

    def execute(self, prediction: Prediction, sequence: int) -> StepResult:
        """One step: the gripper's rules, then the scaled and clipped translation."""
        request = StepRequest(
            session=SESSION,
            sequence=sequence,
            camera_delta=prediction.camera_delta,
            gripper_value=prediction.gripper_value,
            gripper_probabilities=prediction.gripper_probabilities,
            refusal=prediction.refusal,
        )
        problem = check_finite(request)
        refused = (ReasonCode.INVALID_INPUT, problem) if problem else check_refusal(request)
        if refused is not None:
            return self._result(*refused)
        config, motion, before = self._robot.gripper, self._robot.motion, self._gripper
        if before.misses >= config.attempts:
            return self._result(ReasonCode.NO_GRASP, f"closed on nothing {before.misses} times")
        signal = gripper_signal(request.gripper_value, request.gripper_probabilities, config)
        after = decide_gripper(before, signal, self._scene.aperture_m, config)
        missed = after.misses > before.misses
        given_up = missed and after.misses >= config.attempts
        changes = after.closed != before.closed
        gripper_m = np.asarray(motion.scale) * (self._gripper_R_camera @ request.camera_delta)
        if given_up or (changes and motion.freeze_on_gripper_change and not missed):
            gripper_m = np.zeros(3)
        sent_m = self._gripper_R_camera.T @ clip_length(gripper_m, motion.step_cap_m)
        moved_m = self._scene.act(sent_m, after.closed)
        self._gripper = note_motion(after, float(np.linalg.norm(moved_m)), config)
        reason = ReasonCode.NO_GRASP if given_up else ReasonCode.NONE
        return self._result(reason, "", sent_m, moved_m, missed)

    def _result(
        self,
        reason: ReasonCode,
        message: str,
        sent_m: NDArray[np.float64] | None = None,
        moved_m: NDArray[np.float64] | None = None,
        missed: bool = False,
    ) -> StepResult:
        sent = moved = np.zeros(3)
        command = None
        if sent_m is not None and moved_m is not None:
            sent, moved = sent_m, moved_m
            # A hand without a Stretch's joints: that something was sent is all there is to say.
            nowhere = math.nan
            command = JointCommand(nowhere, nowhere, nowhere, nowhere, nowhere, nowhere)
        return StepResult(
            reason=reason,
            message=message,
            requested_base_delta_m=np.full(3, np.nan),
            sent_base_delta_m=np.full(3, np.nan),
            sent=command,
            gripper_closed=self._gripper.closed,
            duration_s=0.0,
            sent_camera_delta_m=sent,
            measured_camera_delta_m=moved,
            gripper_aperture_m=self._scene.aperture_m,
            missed=missed,
            attempt=self._gripper.closings,
        )
