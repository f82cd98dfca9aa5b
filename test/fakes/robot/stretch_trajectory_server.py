"""FollowJointTrajectory as `stretch_driver` serves it in position mode, quirks included.

A goal less than 0.2 s after the one before it, while that one is active, is rejected. Tolerances
and times of the goal are ignored; each point has `goal_timeout_s`. A new goal preempts the running
one without stopping the joints; so does a cancel: the joints go on to their targets. A goal holds
the driver's mode lock until it ends. Guarded contact ends it with error code 100. Of joint names,
every one must be known, the gripper and the arm under one name only, and never both base joints; a
base increment of zero breaks the driver's command group, which aborts the goal and keeps the lock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import stretch_joints as sj
from control_msgs.action import FollowJointTrajectory
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup

if TYPE_CHECKING:
    from stretch_driver import FakeStretchDriver

Result = FollowJointTrajectory.Result

_SHORTEST_S = 0.2
_PERIOD_S = 0.01
_FINGERS = ("joint_gripper_finger_left", "joint_gripper_finger_right")
_NAMES = {"joint_arm": sj.ARM, "gripper_aperture": sj.GRIPPER} | dict.fromkeys(_FINGERS, sj.GRIPPER)
"""Other names of a joint."""
_BASE = (sj.TRANSLATE, sj.ROTATE)


@dataclass(frozen=True)
class Outcome:
    """How a goal ended."""

    ending: str
    """succeed, abort or canceled."""
    code: int = Result.SUCCESSFUL
    text: str = ""
    keeps_lock: bool = False
    """The driver's mode lock is never given back."""


class TrajectoryServer:
    """The action over the fake driver's joints."""

    def __init__(self, driver: FakeStretchDriver) -> None:
        self._driver = driver
        self._running: ServerGoalHandle | None = None
        self._last_goal_s = float("-inf")
        self._newest = 0
        self.rejected: list[float] = []
        """Steady times of rejected goals."""
        self.outcomes: list[Outcome] = []
        self._server = ActionServer(
            driver,
            FollowJointTrajectory,
            "stretch_controller/follow_joint_trajectory",
            self._execute,
            goal_callback=self._judge,
            handle_accepted_callback=self._accept,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def _judge(self, goal: FollowJointTrajectory.Goal) -> GoalResponse:
        now_s = time.monotonic()
        running = self._running is not None and self._running.is_active
        if self._driver.reject_goals or (running and now_s - self._last_goal_s < _SHORTEST_S):
            self.rejected.append(now_s)
            self._driver.record("trajectory", {}, "goal rejected")
            return GoalResponse.REJECT
        self._last_goal_s = now_s
        return GoalResponse.ACCEPT

    def _accept(self, handle: ServerGoalHandle) -> None:
        self._running = handle
        handle.execute()

    def _execute(self, handle: ServerGoalHandle) -> Result:
        self._newest += 1
        number = self._newest
        driver = self._driver
        driver.lock_mode()
        outcome = Outcome("abort")
        try:
            outcome = self._run(handle, number)
        finally:
            if not outcome.keeps_lock:
                driver.unlock_mode()
        getattr(handle, outcome.ending)()
        self.outcomes.append(outcome)
        return Result(error_code=outcome.code, error_string=outcome.text)

    def _run(self, handle: ServerGoalHandle, number: int) -> Outcome:
        driver, goal = self._driver, handle.request
        names = list(goal.trajectory.joint_names)
        refused = self._refusal(names)
        if refused:
            driver.record("trajectory", {}, refused.text)
            return refused
        for point in goal.trajectory.points:
            if len(point.positions) < len(names):
                driver.record("trajectory", {}, "positions are missing")
                return Outcome("abort", Result.INVALID_JOINTS, "positions are missing")
            targets = dict(zip(names, point.positions, strict=False))
            if any(abs(targets.get(name, 1.0)) <= 1e-8 for name in _BASE):
                driver.record("trajectory", {}, "a base increment of zero")
                return Outcome("abort", keeps_lock=True)
            thresholds = dict(zip(names, point.effort, strict=False))
            joints = self._start(targets, thresholds)
            deadline_s = time.monotonic() + driver.goal_timeout_s
            while not self._reached(joints):
                if handle.is_cancel_requested:
                    return Outcome("canceled")
                if number != self._newest:
                    return Outcome("abort", text="preempted")
                if time.monotonic() > deadline_s or driver.closing:
                    return Outcome("abort", Result.PATH_TOLERANCE_VIOLATED, "goal time-out")
                if joints.keys() & driver.joints.in_contact:
                    return Outcome("abort", 100, "--")
                handle.publish_feedback(FollowJointTrajectory.Feedback(joint_names=names))
                time.sleep(_PERIOD_S)
        return Outcome("succeed", text="Achieved all target points.")

    def _refusal(self, names: list[str]) -> Outcome | None:
        driver = self._driver
        if driver.streaming:
            return Outcome("abort", Result.INVALID_GOAL, "streaming is on", keeps_lock=True)
        if driver.mode != "position":
            return Outcome("abort", Result.INVALID_GOAL, f"mode is {driver.mode}")
        known = [_NAMES.get(name, name) for name in names]
        if not names or len(set(known)) != len(known) or set(_BASE) <= set(known):
            return Outcome("abort", Result.INVALID_JOINTS, "joint names violated a command group")
        unknown = [name for name in known if name not in (*sj.LIMITS, *_BASE)]
        if unknown:
            return Outcome("abort", Result.INVALID_JOINTS, f"unknown joints {unknown}")
        return None

    def _start(self, targets: dict[str, float], thresholds: dict[str, float]) -> dict[str, float]:
        """Send the joints off; returns joint -> where it shall be."""
        driver, joints = self._driver, self._driver.joints
        goals = {
            _NAMES.get(name, name): sj.finger_rad_to_aperture(value) if name in _FINGERS else value
            for name, value in targets.items()
        }
        limits = {_NAMES.get(name, name): value for name, value in thresholds.items()}
        driver.record("trajectory", goals, thresholds=limits or None)
        reached = {}
        for joint, value in goals.items():
            if joint in _BASE:
                joints.move_base(joint, value, limits.get(joint))
                # The distance that is left falls to zero.
                reached[joint] = 0.0
            else:
                joints.move_to(joint, value, limits.get(joint))
                reached[joint] = joints.target[joint]
        if driver.runstopped:
            joints.stop()
        return reached

    def _reached(self, goals: dict[str, float]) -> bool:
        position, _ = self._driver.joints.snapshot()
        position |= self._driver.joints.base_left
        if self._driver.runstopped:
            return False
        return all(
            abs(position[joint] - goal) < sj.TOLERANCES.get(joint, 0.015)
            for joint, goal in goals.items()
        )
