"""Whatever is asked: what is sent is within limits, step cap, workspace, and free of collision."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_stretch import a_state
from hypothesis import given, settings
from hypothesis import strategies as st
from vinn.robot.collision import clearances
from vinn.robot.config import MotionConfig, RobotConfig, load_robot_config
from vinn.robot.held_targets import HeldTargets
from vinn.robot.motion_filter import FilterMemory, MotionFilter
from vinn.robot.types import JointCommand, ReasonCode, StepRequest

from measure.robot.random_actions import NASTY, check_any_action, violations

CONFIGS = Path(__file__).parents[2] / "config" / "robot"
SETTINGS = {
    "robot": load_robot_config(CONFIGS / "stretch.yaml"),
    "simulation": load_robot_config(CONFIGS / "stretch_sim.yaml"),
    "wrist moves": RobotConfig(motion=MotionConfig(wrist="move")),
}
ANY = st.one_of(st.floats(-0.2, 0.2), st.floats(allow_nan=True), st.sampled_from(NASTY))
JOINTS = {name: st.floats(joint.lower, joint.upper) for name, joint in RobotConfig().tool.limits}


@pytest.mark.parametrize("name", SETTINGS)
def test_seeded_actions(name: str) -> None:
    """`python -m measure.robot` does many more."""
    report = check_any_action(SETTINGS[name], 2000, seed=7)
    assert report.violations == Counter()
    assert report.sent > 0.3 * report.asked, "too few were sent to show anything"
    assert report.sent + sum(report.refused.values()) == report.asked == 2000


@settings(max_examples=300)
@given(
    delta=st.tuples(ANY, ANY, ANY),
    turn=st.tuples(ANY, ANY, ANY),
    value=st.one_of(st.floats(0, 3), ANY),
    age_s=st.one_of(st.just(0.1), ANY),
    joints=st.fixed_dictionaries(JOINTS),
    held=st.one_of(st.none(), st.tuples(*[st.floats(-1.2, 1.2)] * 5)),
    moves=st.booleans(),
)
def test_adversarial_actions(delta, turn, value, age_s, joints, held, moves) -> None:
    config = SETTINGS["wrist moves" if moves else "simulation"]
    motion_filter = MotionFilter(config, config.tool.limits.joint_limits())
    state = replace(a_state(), **joints)
    memory = FilterMemory(base_origin_m=(0.0, 0.0))
    if held is not None:
        names = list(HeldTargets.__dataclass_fields__)
        off = dict(zip(names, held, strict=True))
        targets = {}
        for name in names:
            allowed = getattr(motion_filter.limits, name)
            target = getattr(state, name) + 0.1 * off[name]
            targets[name] = min(max(target, allowed.lower), allowed.upper)
        memory = replace(memory, held=HeldTargets(**targets))
    request = StepRequest(
        session="s",
        sequence=1,
        camera_delta=np.array(delta),
        gripper_value=value,
        gripper_probabilities=np.array([1.0, 0.0, 0.0, 0.0]),
        image_age_s=age_s,
        camera_rotation_rad=np.array(turn),
    )
    decision = motion_filter.filter(request, state, memory)
    if decision.command is not None:
        assert np.isfinite([*delta, *turn, value, age_s]).all()
        assert violations(decision.command, state, memory, motion_filter) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"arm_m": 0.6}, "arm_m outside limits"),
        ({"lift_m": 0.7}, "lift_m farther than a step"),
        ({"wrist_yaw_rad": 0.2}, "wrist_yaw_rad farther than a step"),
        ({"lift_m": 0.649, "arm_m": 0.249}, "grasp centre farther"),
        ({"base_translate_m": 0.06}, "base farther than a step"),
        ({"base_rotate_rad": 0.01}, "base farther than a step"),
        ({"gripper_aperture_m": 0.2}, "gripper outside"),
        ({"lift_m": float("nan")}, "not finite"),
    ],
)
def test_the_judge_sees_what_it_looks_for(changes: dict, named: str) -> None:
    state = a_state()
    command = JointCommand(
        lift_m=state.lift_m,
        arm_m=state.arm_m,
        wrist_yaw_rad=0.0,
        wrist_pitch_rad=0.0,
        wrist_roll_rad=0.0,
        gripper_aperture_m=0.06,
    )
    config = RobotConfig()
    motion_filter = MotionFilter(config, config.tool.limits.joint_limits())
    assert violations(command, state, FilterMemory(), motion_filter) == []
    found = violations(replace(command, **changes), state, FilterMemory(), motion_filter)
    assert any(named in violation for violation in found)


@pytest.mark.parametrize(
    ("joints", "target", "volume"),
    [
        # Turned back over the base and lowered onto it.
        ({"arm_m": 0.01, "wrist_yaw_rad": 3.1, "lift_m": 0.15}, {"lift_m": 0.102}, "base"),
        # Folded back below the arm and raised against it.
        ({"arm_m": 0.4, "wrist_yaw_rad": 3.5}, {"wrist_pitch_rad": 0.1}, "arm"),
        ({"lift_m": 0.05, "wrist_pitch_rad": -0.2}, {"lift_m": 0.01}, "floor"),
    ],
)
def test_the_judge_and_the_filter_see_collisions(joints: dict, target: dict, volume: str) -> None:
    state = a_state(**joints)
    goal = {name: getattr(state, name) for name in HeldTargets.__dataclass_fields__} | target
    config = RobotConfig()
    motion_filter = MotionFilter(config, config.tool.limits.joint_limits())
    command = JointCommand(**goal, gripper_aperture_m=0.06)
    found = violations(command, state, FilterMemory(), motion_filter)
    assert f"gripper into the {volume}" in found
    wanted = np.array([0.0, 0.0, goal["lift_m"] - state.lift_m])
    wrist = (goal["wrist_yaw_rad"], goal["wrist_pitch_rad"], goal["wrist_roll_rad"])
    decision = motion_filter.limit(wanted, False, state, FilterMemory(), wrist)
    assert decision.command is None
    assert decision.reason is ReasonCode.SELF_COLLISION
    assert volume in decision.message


@pytest.mark.parametrize("yaw", np.linspace(-1.38, 4.5, 13))
def test_a_level_gripper_is_free_at_any_yaw(yaw: float) -> None:
    config = RobotConfig()
    joints = np.array([[0.6, 0.3, yaw, 0.0, 0.0]])
    distances = clearances(joints, config.tool.geometry, config.motion.collision)
    assert min(float(distance[0]) for distance in distances.values()) > 0
