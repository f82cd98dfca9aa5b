"""A simple, conservative keep-out check: gripper against base box, mast and floor.

The gripper is a capsule from the wrist yaw axis to beyond the finger tips; base and mast are boxes.
All three are larger than the real parts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.robot.config import CollisionConfig, WristGeometry
from vinn.robot.kinematics import BASE_P_WRIST_YAW_M, base_T_gripper

BASE_BOX_M = (np.array([-0.30, -0.18, 0.0]), np.array([0.08, 0.18, 0.17]))
"""Corners of the drive base in base axes [m]."""
MAST_BOX_M = (np.array([-0.11, 0.09, 0.0]), np.array([-0.02, 0.18, 1.45]))
"""Corners of the mast in base axes [m]."""

_FRACTIONS = np.linspace(0.0, 1.0, 15)[:, None]


def gripper_axis(
    lift_m: float,
    arm_m: float,
    wrist_rad: tuple[float, float, float],
    geometry: WristGeometry,
    overhang_m: float,
) -> NDArray[np.float64]:
    """(15, 3) points on the capsule's axis, base frame [m]; `wrist_rad` is (yaw, pitch, roll)."""
    pose = base_T_gripper(lift_m, arm_m, *wrist_rad, geometry)
    tip = pose[:3, 3] + overhang_m * pose[:3, 1]
    wrist = BASE_P_WRIST_YAW_M + np.array([0.0, -arm_m, lift_m + geometry.pitch_axis_up_m])
    return wrist + _FRACTIONS * (tip - wrist)


def clearances(axis_m: NDArray[np.float64], config: CollisionConfig) -> dict[str, float]:
    """Distance of the capsule's surface from each keep-out volume [m]; negative: inside."""
    return {
        "base": _distance_to_box(axis_m, BASE_BOX_M) - config.gripper_radius_m - config.clearance_m,
        "mast": _distance_to_box(axis_m, MAST_BOX_M) - config.gripper_radius_m - config.clearance_m,
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
