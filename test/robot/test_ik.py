"""Inverse kinematics: exact, continuous, and the same as an iterative solver's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vinn.robot.config import ToolLimits, WristGeometry
from vinn.robot.ik import pose_ik, wrist_angles
from vinn.robot.kinematics import base_R_gripper, base_T_gripper, rotation_from_vector

GEOMETRY = WristGeometry()
JOINTS = {
    name: st.floats(joint.lower, joint.upper)
    for name, joint in ToolLimits()
    if name != "gripper_aperture_m"
}
TENTH_MM = 1e-4


def fk(base_m, arm_m, lift_m, yaw, pitch, roll):
    pose = base_T_gripper(lift_m, arm_m, yaw, pitch, roll, GEOMETRY)
    pose[0, 3] += base_m
    return pose


def fk_of(solution):
    return fk(*(getattr(solution, name) for name in solution.__dataclass_fields__))


def damped_least_squares(target, start, steps=200, damping=1e-3):
    """The textbook's solver, by finite differences: the reference."""

    def error(joints):
        pose = fk(*joints)
        turn = target[:3, :3] @ pose[:3, :3].T
        axis = 0.5 * np.array(
            [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
        )
        return np.concatenate([target[:3, 3] - pose[:3, 3], axis])

    joints = np.array(start, dtype=float)
    for _ in range(steps):
        e = error(joints)
        if np.linalg.norm(e) < 1e-8:
            break
        jacobian = np.column_stack(
            [(error(joints) - error(joints + 1e-6 * axis)) / 1e-6 for axis in np.eye(6)]
        )
        joints += jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2 * np.eye(6), e)
    return joints


@given(base_m=st.floats(-0.5, 0.5), **JOINTS)
def test_fk_of_ik_is_the_pose(
    base_m, lift_m, arm_m, wrist_yaw_rad, wrist_pitch_rad, wrist_roll_rad
) -> None:
    target = fk(base_m, arm_m, lift_m, wrist_yaw_rad, wrist_pitch_rad, wrist_roll_rad)
    solution = pose_ik(target, GEOMETRY, near_yaw_rad=wrist_yaw_rad)
    reached = fk_of(solution)
    assert np.linalg.norm(reached[:3, 3] - target[:3, 3]) < TENTH_MM
    assert np.abs(reached[:3, :3] - target[:3, :3]).max() < 1e-6
    if math.cos(wrist_pitch_rad) > 1e-3:
        assert solution.wrist_yaw_rad == pytest.approx(wrist_yaw_rad, abs=1e-6)
        assert solution.wrist_roll_rad == pytest.approx(wrist_roll_rad, abs=1e-6)
        assert solution.base_translate_m == pytest.approx(base_m, abs=1e-6)
        assert solution.arm_m == pytest.approx(arm_m, abs=1e-6)


@pytest.mark.parametrize("pitch", [-math.pi / 2, math.pi / 2])
def test_pitched_straight_up_or_down_the_yaw_stays(pitch: float) -> None:
    target = fk(0.1, 0.2, 0.6, 0.7, pitch, 0.4)
    solution = pose_ik(target, GEOMETRY, near_yaw_rad=0.3)
    assert solution.wrist_yaw_rad == pytest.approx(0.3)
    assert np.abs(fk_of(solution) - target).max() < 1e-6


def test_it_agrees_with_an_iterative_solver() -> None:
    rng = np.random.default_rng(0)
    for _ in range(25):
        start = np.array(
            [0.0, rng.uniform(0.1, 0.4), rng.uniform(0.3, 0.9), *rng.uniform(-0.8, 0.4, 3)]
        )
        target = fk(*(start + rng.uniform(-0.1, 0.1, 6)))
        solution = pose_ik(target, GEOMETRY, near_yaw_rad=start[3])
        exact = [getattr(solution, name) for name in solution.__dataclass_fields__]
        assert damped_least_squares(target, start) == pytest.approx(exact, abs=TENTH_MM)


@given(
    yaw=st.floats(-1.4, 4.5),
    pitch=st.floats(-1.4, 0.4),
    roll=st.floats(-2.8, 2.8),
    turn=st.tuples(*[st.floats(-0.05, 0.05)] * 3),
)
def test_small_turns_make_small_changes_of_the_wrist(yaw, pitch, roll, turn) -> None:
    rotation = base_R_gripper(yaw, pitch, roll) @ rotation_from_vector(np.array(turn))
    new = wrist_angles(rotation, near_yaw_rad=yaw)
    # Near the singular pitch a small turn needs a larger yaw: 1 / cos(pitch).
    allowed = 1.1 * float(np.linalg.norm(turn)) / math.cos(pitch) ** 2 + 1e-9
    assert abs(new[0] - yaw) <= allowed
    assert abs(new[1] - pitch) <= allowed


@given(st.tuples(*[st.floats(-3.0, 3.0)] * 3))
def test_rotations_from_vectors_are_rotations(vector) -> None:
    rotation = rotation_from_vector(np.array(vector))
    assert np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-12
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert np.abs(rotation @ np.array(vector) - np.array(vector)).max() < 1e-9
