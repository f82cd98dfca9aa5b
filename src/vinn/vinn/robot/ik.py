"""Analytic inverse kinematics of Stretch: three sliding joints, three turning ones.

The base drives along its x, the arm extends along -y, the lift rises along z: whatever the wrist
does, these three put the grasp centre anywhere. The wrist turns about z (yaw), then x (pitch), then
y (roll), and alone decides the gripper's orientation. So position and orientation come apart, and
the inverse is exact: no iteration, no seed, nothing that fails to converge. Where the paper's
solver (section III-C) takes a pose, `pose_ik` does.

With the wrist held, a translation in base axes *is* the three joint increments; only the held wrist
decides which gripper direction lands on which joint. At yaw 0 forward is the arm; at yaw 1.53 rad,
as on the original robot, it is the base.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.robot.config import WristGeometry
from vinn.robot.kinematics import BASE_P_WRIST_YAW_M, rotation_x, rotation_z, yaw_axis_p_grasp

_SINGULAR_COS = 1e-6
"""Pitched straight up or down, yaw and roll turn about the same axis."""


@dataclass(frozen=True)
class JointIncrement:
    """A translation of the gripper as increments of the three joints that make it [m]."""

    base_translate_m: float
    arm_m: float
    lift_m: float


@dataclass(frozen=True)
class PoseSolution:
    """Joints that put the gripper at a pose; the base drives by an increment."""

    base_translate_m: float
    arm_m: float
    lift_m: float
    wrist_yaw_rad: float
    wrist_pitch_rad: float
    wrist_roll_rad: float


def translation_ik(base_delta_m: NDArray[np.float64]) -> JointIncrement:
    """Joint increments that move the gripper by `base_delta_m` (3,) in base axes [m]."""
    x, y, z = (float(v) for v in base_delta_m)
    return JointIncrement(base_translate_m=x, arm_m=-y, lift_m=z)


def translation_fk(increment: JointIncrement) -> NDArray[np.float64]:
    """Translation of the gripper (3,) in base axes [m] made by joint increments."""
    return np.array([increment.base_translate_m, -increment.arm_m, increment.lift_m])


def wrist_angles(
    base_R_gripper: NDArray[np.float64], near_yaw_rad: float
) -> tuple[float, float, float]:
    """(yaw, pitch, roll) [rad] that turn the gripper to `base_R_gripper` (3, 3).

    Pitch is within -pi/2..pi/2 and yaw the one of its turns nearest to `near_yaw_rad`. Pitched
    straight up or down, yaw stays at `near_yaw_rad` and roll does the turning.
    """
    r = base_R_gripper
    pitch = math.atan2(r[2, 1], math.hypot(r[2, 0], r[2, 2]))
    if math.hypot(r[0, 1], r[1, 1]) < _SINGULAR_COS:
        rest = (rotation_z(math.pi + near_yaw_rad) @ rotation_x(pitch)).T @ r
        return near_yaw_rad, pitch, math.atan2(rest[0, 2], rest[0, 0])
    yaw = math.atan2(-r[0, 1], r[1, 1]) - math.pi
    turns = round((near_yaw_rad - yaw) / (2 * math.pi))
    return yaw + turns * 2 * math.pi, pitch, math.atan2(-r[2, 0], r[2, 2])


def pose_ik(
    base_T_gripper: NDArray[np.float64], geometry: WristGeometry, near_yaw_rad: float
) -> PoseSolution:
    """Joints that put the grasp centre at `base_T_gripper` (4, 4), in the base frame of now.

    Limits are not looked at: the motion filter does.

    Args:
        base_T_gripper: wanted pose, finite.
        geometry: of the tool.
        near_yaw_rad: yaw of now; the solution is the nearest to it.
    """
    yaw, pitch, roll = wrist_angles(base_T_gripper[:3, :3], near_yaw_rad)
    x, y, z = (
        base_T_gripper[:3, 3] - BASE_P_WRIST_YAW_M - yaw_axis_p_grasp(yaw, pitch, geometry)
    ).tolist()
    return PoseSolution(
        base_translate_m=x,
        arm_m=-y,
        lift_m=z,
        wrist_yaw_rad=yaw,
        wrist_pitch_rad=pitch,
        wrist_roll_rad=roll,
    )
