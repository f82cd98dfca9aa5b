"""The way to the start pose, one bounded step at a time: open, retreat, turn, go."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vinn.robot.arrival import wrap_angle
from vinn.robot.checks.readiness import Halted
from vinn.robot.config import ExecutorConfig, RobotConfig, StartPose
from vinn.robot.held_targets import held_targets
from vinn.robot.ik import translation_ik
from vinn.robot.kinematics import base_R_gripper
from vinn.robot.motion_filter import Decision, FilterMemory, MotionFilter, clip_length
from vinn.robot.types import JointLimits, ReasonCode, RobotState

_WRIST_JOINTS = ("wrist_yaw_rad", "wrist_pitch_rad", "wrist_roll_rad")
_NEAR_M = 0.002
"""A target this near needs no step of its own."""
_GOING = "going to the start pose"


@dataclass(frozen=True)
class StartGoal:
    """A start pose with its offset resolved to joints and a base pose by odometry."""

    lift_m: float
    arm_m: float
    wrist_rad: tuple[float, float, float]
    base_xy_m: tuple[float, float]
    base_theta_rad: float


def start_goal(
    pose: StartPose, offset_gripper_m: NDArray[np.float64], state: RobotState
) -> StartGoal:
    """Resolve `pose` displaced by `offset_gripper_m` (3,) right, forward, up [m]."""
    wrist = (pose.wrist_yaw_rad, pose.wrist_pitch_rad, pose.wrist_roll_rad)
    offset = translation_ik(base_R_gripper(*wrist) @ offset_gripper_m)
    if pose.base_x_m is None or pose.base_y_m is None or pose.base_theta_rad is None:
        x, y, theta = state.base_x_m, state.base_y_m, state.base_theta_rad
    else:
        x, y, theta = pose.base_x_m, pose.base_y_m, pose.base_theta_rad
    return StartGoal(
        lift_m=pose.lift_m + offset.lift_m,
        arm_m=pose.arm_m + offset.arm_m,
        wrist_rad=wrist,
        base_xy_m=(
            x + offset.base_translate_m * math.cos(theta),
            y + offset.base_translate_m * math.sin(theta),
        ),
        base_theta_rad=theta,
    )


def too_far(goal: StartGoal, state: RobotState, farthest_m: float) -> str | None:
    """Why the base should not drive to the goal by itself, or None."""
    x_m, y_m = goal.base_xy_m
    away_m = math.hypot(x_m - state.base_x_m, y_m - state.base_y_m)
    if away_m <= farthest_m:
        return None
    return (
        f"start pose: the base is {away_m:.2f} m away from it; allowed: {farthest_m:g} m: "
        "drive it near, and save the start pose again if odometry began anew"
    )


def unreachable(goal: StartGoal, limits: JointLimits) -> str | None:
    """Which joint of the goal lies outside the limits, or None."""
    joints = {"lift_m": goal.lift_m, "arm_m": goal.arm_m} | dict(
        zip(_WRIST_JOINTS, goal.wrist_rad, strict=True)
    )
    for name, value in joints.items():
        allowed = getattr(limits, name)
        if not allowed.lower <= value <= allowed.upper:
            return (
                f"start pose: {name} {value:.3f}; allowed: {allowed.lower:.3f}..{allowed.upper:.3f}"
            )
    return None


def plan_start(
    motion_filter: MotionFilter,
    pose: StartPose,
    offset_gripper_m: NDArray[np.float64],
    state: RobotState,
    config: ExecutorConfig,
) -> StartMotion:
    """The way from `state` to `pose` displaced by `offset_gripper_m` (3,) right, forward, up [m].

    Raises:
        Halted: the offset is no three finite numbers, the pose is outside the limits, or the base
            is farther away than it may drive by itself.
    """
    offset = np.asarray(offset_gripper_m, dtype=np.float64)
    if offset.shape != (3,) or not np.isfinite(offset).all():
        raise Halted(
            ReasonCode.INVALID_INPUT,
            f"offset_gripper_m: {offset.tolist()}; allowed: three finite numbers",
        )
    goal = start_goal(pose, offset, state)
    problem = unreachable(goal, motion_filter.limits) or too_far(goal, state, config.start_travel_m)
    if problem:
        raise Halted(ReasonCode.UNREACHABLE, problem)
    return StartMotion(motion_filter, goal)


class StartMotion:
    """Plans the next step from what is measured; sends nothing itself."""

    def __init__(self, motion_filter: MotionFilter, goal: StartGoal) -> None:
        self._filter = motion_filter
        self._config: RobotConfig = motion_filter.config
        self._goal = goal
        self._opened = False
        self._open_m = 0.0
        self._retreat_m = self._config.executor.retreat_m
        self._phase = "opening the gripper"

    def phase(self, state: RobotState) -> str:
        """What the step that `next` returned last is for, in words."""
        if self._phase != _GOING:
            return self._phase
        goal = self._goal
        left_m = math.hypot(
            goal.base_xy_m[0] - state.base_x_m,
            goal.base_xy_m[1] - state.base_y_m,
            goal.arm_m - state.arm_m,
            goal.lift_m - state.lift_m,
        )
        return f"{_GOING}, {left_m * 100:.0f} cm left"

    def next(self, state: RobotState, memory: FilterMemory) -> Decision | None:
        """The next step, or None at the start pose. A decision without a command is a failure."""
        if not self._opened:
            self._opened = True
            opening = self._filter.limit(np.zeros(3), False, state, memory)
            self._open_m = opening.command.gripper_aperture_m if opening.command else 0.0
            return replace(opening, gripper_changes=True)
        if state.gripper_aperture_m < 0.5 * self._open_m:
            # To retreat now might drag the door along.
            return Decision(
                ReasonCode.STALLED,
                f"the gripper did not open: {state.gripper_aperture_m * 1000:.0f} mm between the "
                f"finger tips; wanted: {self._open_m * 1000:.0f} mm",
                memory,
            )
        self._phase = "retreating"
        while self._retreat_m > _NEAR_M:
            step = self._retreat(state, memory)
            if step is not None:
                return step
        self._phase = _GOING
        return self._towards_goal(state, memory)

    def _retreat(self, state: RobotState, memory: FilterMemory) -> Decision | None:
        """A step straight back, or None where limits end the retreat early."""
        length = min(self._retreat_m, self._config.motion.step_cap_m)
        rotation = base_R_gripper(state.wrist_yaw_rad, state.wrist_pitch_rad, state.wrist_roll_rad)
        step = self._filter.limit(-length * rotation[:, 1], False, state, memory)
        if step.command is None or step.reason is ReasonCode.UNREACHABLE:
            self._retreat_m = 0.0
            return None
        self._retreat_m -= length
        return step

    def _towards_goal(self, state: RobotState, memory: FilterMemory) -> Decision | None:
        motion, executor, goal = self._config.motion, self._config.executor, self._goal
        held = held_targets(state, memory.held, motion)
        turn = wrap_angle(goal.base_theta_rad - state.base_theta_rad)
        if abs(turn) > executor.arrival_wrist_rad:
            turn = math.copysign(min(abs(turn), motion.wrist_cap_rad), turn)
            step = self._filter.limit(np.zeros(3), False, state, memory)
            if step.command is None:
                return step
            return replace(step, command=replace(step.command, base_rotate_rad=turn))

        dx, dy = goal.base_xy_m[0] - state.base_x_m, goal.base_xy_m[1] - state.base_y_m
        cos, sin = math.cos(state.base_theta_rad), math.sin(state.base_theta_rad)
        along_m, sideways_m = dx * cos + dy * sin, dy * cos - dx * sin
        if abs(sideways_m) > executor.start_lateral_m:
            return Decision(
                ReasonCode.UNREACHABLE,
                f"start pose: the base is {sideways_m * 1000:.0f} mm sideways of it; allowed: "
                f"{executor.start_lateral_m * 1000:.0f} mm",
                memory,
            )
        wanted_m = np.array(
            [
                along_m if abs(along_m) > executor.arrival_base_m else 0.0,
                held.arm_m - goal.arm_m,
                goal.lift_m - held.lift_m,
            ]
        )
        targets = (held.wrist_yaw_rad, held.wrist_pitch_rad, held.wrist_roll_rad)
        turns = np.array(goal.wrist_rad) - np.array(targets)
        if np.linalg.norm(wanted_m) < _NEAR_M and np.abs(turns).max() < 1e-3:
            return None
        # From what is measured, so that a lagging joint never winds up.
        wrist = tuple(
            measured
            + float(np.clip(goal_rad - measured, -motion.wrist_cap_rad, motion.wrist_cap_rad))
            for goal_rad, measured in zip(
                goal.wrist_rad,
                (state.wrist_yaw_rad, state.wrist_pitch_rad, state.wrist_roll_rad),
                strict=True,
            )
        )
        step = self._filter.limit(
            clip_length(wanted_m, motion.step_cap_m),
            False,
            state,
            memory,
            (wrist[0], wrist[1], wrist[2]),
        )
        if step.reason is ReasonCode.UNREACHABLE:
            return replace(step, command=None)
        return step
