"""Random and adversarial actions through the motion filter: is every command one that may be sent?

The judgement is made anew, without the filter's own stages: limits and caps joint by joint, the
grasp centre by forward kinematics, keep-out volumes at many points of the whole way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from vinn.robot.collision import clearances, way
from vinn.robot.config import RobotConfig
from vinn.robot.held_targets import HeldTargets
from vinn.robot.kinematics import base_T_gripper
from vinn.robot.limits import clamp
from vinn.robot.motion_filter import FilterMemory, MotionFilter
from vinn.robot.types import JointCommand, RobotState, StepRequest

SLIDERS = ("lift_m", "arm_m")
WRIST = ("wrist_yaw_rad", "wrist_pitch_rad", "wrist_roll_rad")
NASTY = (0.0, -0.0, 1e-300, 1e-9, 1.0, -1.0, 999.9, 1e3, 1e6, 1e300, np.inf, -np.inf, np.nan)
"""Numbers that break filters."""

_EPSILON = 1e-9
_WAY_POINTS = 51
_SLIDE_M = 3e-3
"""What starts inside a (conservative) volume may graze it by this much on its way out."""


@dataclass
class AnyActionReport:
    """What became of many actions."""

    asked: int = 0
    sent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason code -> how often."""
    violations: Counter[str] = field(default_factory=Counter)
    """What a command did that it must not do -> how often."""


def random_request(rng: np.random.Generator, largest_m: float = 1000.0) -> StepRequest:
    """A step of any size and direction, sometimes with numbers that break filters."""
    delta = rng.normal(size=3) * 10.0 ** rng.uniform(-4, np.log10(largest_m))
    turn = rng.normal(size=3) * 10.0 ** rng.uniform(-3, 0.5)
    value, probabilities, age_s = float(rng.uniform(0, 3)), rng.dirichlet(np.ones(4)), 0.05
    if rng.random() < 0.2:
        delta[rng.integers(3)] = rng.choice(NASTY)
    if rng.random() < 0.1:
        turn[rng.integers(3)] = rng.choice(NASTY)
    if rng.random() < 0.05:
        value = float(rng.choice(NASTY))
    if rng.random() < 0.05:
        probabilities[rng.integers(4)] = rng.choice(NASTY)
    if rng.random() < 0.05:
        age_s = float(rng.choice(NASTY))
    return StepRequest(
        session="s",
        sequence=1,
        camera_delta=delta,
        gripper_value=value,
        gripper_probabilities=probabilities,
        image_age_s=age_s,
        camera_rotation_rad=turn,
    )


def random_state(rng: np.random.Generator, config: RobotConfig) -> RobotState:
    """Anywhere the robot can be: ends of the joints, and a little beyond, included."""
    values = {}
    for name, joint in config.tool.limits:
        at = rng.choice([rng.random(), 0.0, 1.0, -0.01, 1.01], p=[0.7, 0.1, 0.1, 0.05, 0.05])
        values[name] = joint.lower + at * (joint.upper - joint.lower)
    x, y, theta = (float(v) for v in rng.normal(size=3))
    return RobotState(steady_s=0.0, base_x_m=x, base_y_m=y, base_theta_rad=theta, **values)


def random_memory(
    rng: np.random.Generator, state: RobotState, motion_filter: MotionFilter
) -> FilterMemory:
    """Held targets a little off what is measured, as under load; the base anywhere allowed."""
    motion = motion_filter.config.motion
    held = None
    if rng.random() < 0.7:
        targets = {}
        for name in (*SLIDERS, *WRIST):
            near = motion.resync_m if name in SLIDERS else motion.resync_rad
            target = getattr(state, name) + rng.uniform(-1.2, 1.2) * near
            # They were sent once, so they are within limits.
            targets[name] = clamp(target, getattr(motion_filter.limits, name))
        held = HeldTargets(**targets)
    along = rng.uniform(-motion.base_travel_m, motion.base_travel_m)
    heading = np.array([np.cos(state.base_theta_rad), np.sin(state.base_theta_rad)])
    origin = np.array([state.base_x_m, state.base_y_m]) - along * heading
    return FilterMemory(held=held, base_origin_m=(float(origin[0]), float(origin[1])))


def violations(
    command: JointCommand, state: RobotState, memory: FilterMemory, motion_filter: MotionFilter
) -> list[str]:
    """What a command does that it must not do; empty: it may be sent.

    Args:
        command: what the filter made.
        state: what was measured.
        memory: the filter's before this step.
        motion_filter: for its settings and limits; none of its stages is called.
    """
    config, limits = motion_filter.config, motion_filter.limits
    motion = config.motion
    if not np.isfinite([float(value) for value in vars(command).values()]).all():
        return ["not finite"]
    found = []
    for name in (*SLIDERS, *WRIST):
        value, allowed = getattr(command, name), getattr(limits, name)
        if not allowed.lower - _EPSILON <= value <= allowed.upper + _EPSILON:
            found.append(f"{name} outside limits minus margin")
        cap = motion.step_cap_m if name in SLIDERS else motion.wrist_cap_rad
        if abs(value - getattr(state, name)) > cap + _EPSILON:
            found.append(f"{name} farther than a step from what is measured")
    aperture = limits.gripper_aperture_m
    if not aperture.lower <= command.gripper_aperture_m <= aperture.upper:
        found.append("gripper outside its limits")
    if abs(command.base_translate_m) > motion.step_cap_m + _EPSILON or command.base_rotate_rad:
        found.append("base farther than a step")
    if memory.base_origin_m is not None:
        end_m = _base_travel_m(state, memory.base_origin_m) + command.base_translate_m
        if abs(end_m) > motion.base_travel_m + 1e-6:
            found.append("base out of the workspace")
    moved_m = _grasp_travel_m(command, state, memory, config)
    if moved_m > motion.step_cap_m + _EPSILON:
        found.append("grasp centre farther than a step")
    found += _hits(command, state, config)
    return found


def check_any_action(
    config: RobotConfig,
    count: int,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> AnyActionReport:
    """Put `count` seeded actions through the filter and judge every command.

    Args:
        config: of the robot; unit actions and metric ones differ in what a step means.
        count: actions.
        seed: of actions, states and memories.
        on_progress: told how many are done, now and then.
    """
    rng = np.random.default_rng(seed)
    motion_filter = MotionFilter(config, config.tool.limits.joint_limits())
    report = AnyActionReport()
    for done in range(count):
        state, request = random_state(rng, config), random_request(rng)
        memory = random_memory(rng, state, motion_filter)
        decision = motion_filter.filter(request, state, memory)
        report.asked += 1
        if decision.command is None:
            report.refused[decision.reason.value] += 1
        else:
            report.sent += 1
            report.violations.update(violations(decision.command, state, memory, motion_filter))
        if on_progress is not None and done % 1000 == 0:
            on_progress(done)
    return report


def _base_travel_m(state: RobotState, origin_m: tuple[float, float]) -> float:
    offset = np.array([state.base_x_m - origin_m[0], state.base_y_m - origin_m[1]])
    heading = np.array([np.cos(state.base_theta_rad), np.sin(state.base_theta_rad)])
    return float(offset @ heading)


def _joints(values: JointCommand | RobotState | HeldTargets) -> NDArray[np.float64]:
    return np.array([getattr(values, name) for name in (*SLIDERS, *WRIST)])


def _grasp_travel_m(
    command: JointCommand, state: RobotState, memory: FilterMemory, config: RobotConfig
) -> float:
    """How far a command takes the grasp centre from where the last one put it."""
    start = _joints(state)
    if memory.held is not None:
        held = _joints(memory.held)
        near = np.array([config.motion.resync_m] * 2 + [config.motion.resync_rad] * 3)
        start = np.where(np.abs(held - start) <= near, held, start)

    def grasp(joints: NDArray[np.float64]) -> NDArray[np.float64]:
        lift, arm, yaw, pitch, roll = (float(v) for v in joints)
        pose = base_T_gripper(lift, arm, yaw, pitch, roll, config.tool.geometry)
        return pose[:3, 3]

    travel = grasp(_joints(command)) - grasp(start)
    return float(np.linalg.norm(travel + np.array([command.base_translate_m, 0.0, 0.0])))


def _hits(command: JointCommand, state: RobotState, config: RobotConfig) -> list[str]:
    """Volumes that the gripper enters anywhere on the way, or goes deeper into."""
    # Without the extra clearance: what really must not be entered.
    collision = config.motion.collision.model_copy(update={"clearance_m": 0.0})
    joints = way(_joints(state), _joints(command), _WAY_POINTS)
    return [
        f"gripper into the {name}"
        for name, distances in clearances(joints, config.tool.geometry, collision).items()
        if (distances < np.minimum(0.0, distances[0] - _SLIDE_M)).any()
    ]
