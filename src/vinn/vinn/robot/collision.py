"""A simple, conservative keep-out check: gripper against base, mast, lift, arm and floor.

The gripper is a capsule from the wrist to beyond the finger tips; the other parts are boxes, of
which the arm's and the lift's move with their joints. All are at least as large as the real parts
(bounds of the meshes of Stretch's URDF). The part of the gripper next to the wrist is always near
the arm that carries it and is left out against the arm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.robot.config import CollisionConfig, WristGeometry
from vinn.robot.kinematics import BASE_P_WRIST_YAW_M, base_R_gripper, yaw_axis_p_grasp

BASE_BOX_M = (np.array([-0.30, -0.18, 0.0]), np.array([0.08, 0.18, 0.17]))
"""Corners of the drive base in base axes [m]."""
MAST_BOX_M = (np.array([-0.11, 0.09, 0.0]), np.array([-0.02, 0.18, 1.45]))
"""Corners of the mast in base axes [m]."""

ARM_BOX_M = (np.array([-0.134, -0.172, 0.165]), np.array([-0.075, 0.103, 0.225]))
"""Corners of the arm's tube at lift 0 and arm 0; its outer end moves with the arm."""
LIFT_BOX_M = (np.array([-0.26, -0.001, 0.16]), np.array([-0.028, 0.172, 0.281]))
"""Corners of the lift's carriage at lift 0."""

_POINTS = 15
_FRACTIONS = np.linspace(0.0, 1.0, _POINTS)[:, None]
_FIRST_AGAINST_ARM = 5
"""A tenth of a metre or more from the wrist."""


def gripper_axis(
    lift_m: float,
    arm_m: float,
    wrist_rad: tuple[float, float, float],
    geometry: WristGeometry,
    overhang_m: float,
) -> NDArray[np.float64]:
    """(15, 3) points on the capsule's axis, base frame [m]; `wrist_rad` is (yaw, pitch, roll)."""
    rotation = base_R_gripper(wrist_rad[0], wrist_rad[1])
    wrist = BASE_P_WRIST_YAW_M + np.array([0.0, -arm_m, lift_m])
    start = wrist + np.array([0.0, 0.0, geometry.pitch_axis_up_m])
    start = start + geometry.grasp_up_m * rotation[:, 2]
    tip = wrist + yaw_axis_p_grasp(wrist_rad[0], wrist_rad[1], geometry)
    tip = tip + overhang_m * rotation[:, 1]
    return start + _FRACTIONS * (tip - start)


def clearances(
    lift_m: float,
    arm_m: float,
    wrist_rad: tuple[float, float, float],
    geometry: WristGeometry,
    config: CollisionConfig,
) -> dict[str, float]:
    """Distance of the gripper from each keep-out volume [m]; negative: inside.

    Args:
        lift_m: joint.
        arm_m: joint.
        wrist_rad: (yaw, pitch, roll).
        geometry: of the tool.
        config: sizes and margins.
    """
    axis_m = gripper_axis(lift_m, arm_m, wrist_rad, geometry, config.finger_overhang_m)
    radius = config.gripper_radius_m + config.clearance_m
    # The gripper is flat: its fingers open sideways, upwards only as far as it is rolled.
    flat = config.gripper_height_m + config.clearance_m
    upwards = flat + (radius - flat) * abs(float(np.sin(wrist_rad[2])))
    outer = axis_m[_FIRST_AGAINST_ARM:]
    lift = np.array([0.0, 0.0, lift_m])
    arm_end = np.array([0.0, -arm_m, lift_m])
    return {
        "base": _distance_to_box(axis_m, BASE_BOX_M) - radius,
        "mast": _distance_to_box(axis_m, MAST_BOX_M) - radius,
        "lift": _distance_to_box(outer, (LIFT_BOX_M[0] + lift, LIFT_BOX_M[1] + lift)) - upwards,
        "arm": _distance_to_box(outer, (ARM_BOX_M[0] + arm_end, ARM_BOX_M[1] + lift)) - upwards,
        "floor": float(axis_m[:, 2].min()) - config.gripper_radius_m - config.floor_clearance_m,
    }


def check_motion(
    start: dict[str, float], end: dict[str, float], tolerance_m: float = 1e-4
) -> str | None:
    """What a motion would hit, or None.

    A motion that starts inside a (conservative) volume may leave it: it is refused only if it ends
    inside and no farther out than it began.
    """
    for name, clearance in end.items():
        if clearance < 0 and clearance < start[name] - tolerance_m:
            return f"{name} (clearance {clearance * 1000:.0f} mm)"
    return None


def _distance_to_box(
    points_m: NDArray[np.float64], box_m: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    """Smallest distance of the points from a box [m]; inside: minus the depth of the deepest."""
    lower, upper = box_m
    outside = np.maximum(np.maximum(lower - points_m, points_m - upper), 0.0)
    distance = float(np.sqrt((outside * outside).sum(axis=1).min()))
    if distance > 0:
        return distance
    return -float(np.minimum(points_m - lower, upper - points_m).min(axis=1).max())
