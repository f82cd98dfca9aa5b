"""Rows 13 and 14: whatever is asked, what is sent stays within limits, cap and workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_stretch import FakeStretch, a_state
from fault_measure import LIMITS, Measure, measuring
from vinn.demos.types import ActionScale
from vinn.robot.collision import clearances
from vinn.robot.config import load_robot_config
from vinn.robot.executor import StepExecutor
from vinn.robot.limits import effective_limits
from vinn.robot.motion_filter import FilterMemory, MotionFilter
from vinn.robot.types import JointCommand, ReasonCode, RobotState, StepRequest

CONFIG = load_robot_config(Path(__file__).parents[2] / "config" / "robot" / "stretch.yaml")
TRANSLATED = ("lift_m", "arm_m")
TURNED = ("wrist_yaw_rad", "wrist_pitch_rad", "wrist_roll_rad")
NASTY = (0.0, -0.0, 1e-300, 1e-9, 1.0, -1.0, 999.9, 1e3, 1e6, 1e300, np.inf, -np.inf, np.nan)
EPSILON = 1e-9
SLIDE_M = 1.01e-4
"""What already touches a (conservative) volume may slide along it by this much in a step."""


def action_count() -> int:
    """10^5 for the results; as many as a quick test run bears otherwise."""
    return 100_000 if measuring() else 15_000


def random_request(rng: np.random.Generator, sequence: int = 1) -> StepRequest:
    delta = rng.normal(size=3) * 10.0 ** rng.uniform(-4, 3)
    value, probabilities, age_s = rng.uniform(0, 3), rng.dirichlet(np.ones(4)), 0.05
    if rng.random() < 0.3:
        delta[rng.integers(3)] = rng.choice(NASTY)
    if rng.random() < 0.05:
        value = float(rng.choice(NASTY))
    if rng.random() < 0.05:
        probabilities[rng.integers(4)] = rng.choice(NASTY)
    if rng.random() < 0.05:
        age_s = float(rng.choice(NASTY))
    return StepRequest("s", sequence, delta, float(value), probabilities, age_s, float("nan"), None)


def random_state(rng: np.random.Generator) -> RobotState:
    """Anywhere a robot can be, ends and a little beyond included."""
    limits = CONFIG.tool.limits.joint_limits()
    values = {}
    for name in (*TRANSLATED, *TURNED, "gripper_aperture_m"):
        joint = getattr(limits, name)
        at = rng.choice([rng.random(), 0.0, 1.0, -0.01, 1.01], p=[0.7, 0.1, 0.1, 0.05, 0.05])
        values[name] = joint.lower + at * (joint.upper - joint.lower)
    base = dict(zip(("base_x_m", "base_y_m", "base_theta_rad"), rng.normal(size=3), strict=True))
    return replace(a_state(), **values, **base)


def violations(command: JointCommand, state: RobotState, motion: MotionFilter) -> list[str]:
    """What a command that was sent does that it must not do."""
    found = []
    if not np.isfinite(list(vars(command).values())).all():
        return ["not finite"]
    cap_m, cap_rad = CONFIG.motion.step_cap_m, CONFIG.motion.wrist_cap_rad
    for name in (*TRANSLATED, *TURNED):
        value, joint = getattr(command, name), getattr(motion.limits, name)
        if not joint.lower - EPSILON <= value <= joint.upper + EPSILON:
            found.append(f"{name} outside its limits minus margin")
        cap = cap_m if name in TRANSLATED else cap_rad
        if abs(value - getattr(state, name)) > cap + EPSILON:
            found.append(f"{name} farther than a step")
    if abs(command.base_translate_m) > cap_m + EPSILON:
        found.append("base farther than a step")
    aperture = motion.limits.gripper_aperture_m
    if not aperture.lower <= command.gripper_aperture_m <= aperture.upper:
        found.append("gripper outside its limits")
    return found


def hits(command: JointCommand, state: RobotState) -> bool:
    """Whether a command brings the gripper nearer to something it already touches or will."""

    def clear(values: object) -> dict[str, float]:
        joints = np.array([[getattr(values, name) for name in (*TRANSLATED, *TURNED)]])
        distances = clearances(joints, CONFIG.tool.geometry, CONFIG.motion.collision)
        return {name: float(distance[0]) for name, distance in distances.items()}

    before, after = clear(state), clear(command)
    return any(after[name] < 0 and after[name] < before[name] - SLIDE_M for name in after)


def test_row_13_any_action_at_all() -> None:
    rng = np.random.default_rng(13)
    driver_limits = CONFIG.tool.limits.joint_limits()
    motion = MotionFilter(CONFIG, driver_limits)
    allowed = effective_limits(driver_limits, driver_limits)
    assert motion.limits.arm_m.upper < allowed.arm_m.upper
    sent, refused, bad, collisions, outside = 0, 0, [], 0, 0
    for _ in range(action_count()):
        state, request = random_state(rng), random_request(rng)
        memory = FilterMemory(base_origin_m=(state.base_x_m, state.base_y_m))
        decision = motion.filter(request, state, memory)
        numbers = (*request.camera_delta, request.gripper_value, *request.gripper_probabilities)
        if decision.command is None:
            refused += 1
            assert decision.reason is not ReasonCode.NONE
            continue
        sent += 1
        assert np.isfinite(numbers).all(), "a number that is none was acted on"
        assert decision.requested_base_delta_m.shape == (3,)
        bad += violations(decision.command, state, motion)
        collisions += hits(decision.command, state)
        outside += abs(decision.command.base_translate_m) > CONFIG.motion.base_travel_m
        length_m = np.linalg.norm(decision.sent_base_delta_m)
        if length_m > np.sqrt(3) * LIMITS["step_m"] + EPSILON:
            bad.append("longer than a step on every axis")
    measure = Measure(13)
    measure.value("actions asked", sent + refused, "", None)
    measure.value("of these sent", sent, "", None)
    measure.value("commands outside limits, margin or step cap", len(bad), "", "== 0")
    measure.value("commands into base, mast or floor", int(collisions), "", "== 0")
    measure.value("commands out of the workspace", int(outside), "", "== 0")
    assert sent > 0.05 * action_count(), "too few were sent to show anything"
    assert not bad, bad[:5]


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_row_14_targets_out_of_reach(axis: int, sign: float) -> None:
    """A hand that wants ever farther ends at the limit, with a reason and without an exception."""
    robot = FakeStretch(current=a_state(wrist_yaw_rad=1.53))
    executor = StepExecutor(robot, MotionFilter(CONFIG, robot.limits()), CONFIG.executor)
    executor.begin_session("s")
    delta = np.zeros(3)
    delta[axis] = sign
    outcomes = []
    for sequence in range(1, 60):
        request = StepRequest(
            "s", sequence, delta, 0.0, np.array([1.0, 0, 0, 0]), 0.05, action_scale=ActionScale.UNIT
        )
        result = executor.execute(request)
        outcomes.append(result.reason)
        if result.reason is not ReasonCode.NONE and len(outcomes) > 40:
            break
    at_end = executor._driver.state()
    motion = executor._filter
    for name in TRANSLATED:
        joint = getattr(motion.limits, name)
        assert joint.lower - 0.01 <= getattr(at_end, name) <= joint.upper + 0.01
    assert abs(at_end.base_x_m) <= CONFIG.motion.base_travel_m + 0.01
    # Up and down scale to nothing where c is 0: then there is no far target.
    allowed = {ReasonCode.NONE, ReasonCode.UNREACHABLE, ReasonCode.SELF_COLLISION}
    assert set(outcomes) <= allowed, set(outcomes)
    measure = Measure(14)
    measure.value(
        "far targets that ended in anything but a status", len(set(outcomes) - allowed), "", "== 0"
    )
    if axis != 1:
        assert outcomes[-1] in (ReasonCode.UNREACHABLE, ReasonCode.SELF_COLLISION)
