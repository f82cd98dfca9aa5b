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
from vinn.robot.kinematics import BASE_P_WRIST_YAW_M

BASE_BOX_M = (np.array([-0.30, -0.18, 0.0]), np.array([0.08, 0.18, 0.17]))
"""Corners of the drive base in base axes [m]."""
MAST_BOX_M = (np.array([-0.11, 0.09, 0.0]), np.array([-0.02, 0.18, 1.45]))
"""Corners of the mast in base axes [m]."""

ARM_BOX_M = (np.array([-0.134, -0.172, 0.165]), np.array([-0.075, 0.103, 0.225]))
"""Corners of the arm's tube at lift 0 and arm 0; its outer end moves with the arm."""
LIFT_BOX_M = (np.array([-0.26, -0.001, 0.16]), np.array([-0.028, 0.172, 0.281]))
"""Corners of the lift's carriage at lift 0."""

WAY_POINTS = 21
"""Of a step: no part of the gripper moves more than about five millimetres between two of them."""

_POINTS = 15
_FRACTIONS = np.linspace(0.0, 1.0, _POINTS)[:, None]
_FIRST_AGAINST_ARM = 5
"""A tenth of a metre or more from the wrist."""


def gripper_axis(
    joints: NDArray[np.float64], geometry: WristGeometry, overhang_m: float
) -> NDArray[np.float64]:
    """(N, 15, 3) points on the capsule's axis, base frame [m].

    Args:
        joints: (N, 5) lift [m], arm [m], yaw, pitch, roll [rad].
        geometry: of the tool.
        overhang_m: finger tips beyond the grasp centre.
    """
    lift, arm, yaw, pitch, _ = joints.T
    zero = np.zeros_like(lift)
    # The gripper's forward and (before the roll) up, as `kinematics.base_R_gripper` has them.
    forward = np.stack(
        [np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), np.sin(pitch)], axis=1
    )
    up = np.stack(
        [-np.sin(yaw) * np.sin(pitch), np.cos(yaw) * np.sin(pitch), np.cos(pitch)], axis=1
    )
    start = BASE_P_WRIST_YAW_M + np.stack([zero, -arm, lift + geometry.pitch_axis_up_m], axis=1)
    start = start + geometry.grasp_up_m * up
    length_m = geometry.grasp_forward_m + overhang_m
    axis: NDArray[np.float64] = (
        start[:, None, :] + length_m * _FRACTIONS[None, :, :] * forward[:, None, :]
    )
    return axis


def clearances(
    joints: NDArray[np.float64], geometry: WristGeometry, config: CollisionConfig
) -> dict[str, NDArray[np.float64]]:
    """(N,) distances of the gripper from each keep-out volume [m]; negative: inside.

    Args:
        joints: (N, 5) lift [m], arm [m], yaw, pitch, roll [rad].
        geometry: of the tool.
        config: sizes and margins.
    """
    axis_m = gripper_axis(joints, geometry, config.finger_overhang_m)
    radius = config.gripper_radius_m + config.clearance_m
    # The gripper is flat: its fingers open sideways, upwards only as far as it is rolled.
    flat = config.gripper_height_m + config.clearance_m
    upwards = flat + (radius - flat) * np.abs(np.sin(joints[:, 4]))
    outer_m = axis_m[:, _FIRST_AGAINST_ARM:]
    lift = np.zeros((len(joints), 3))
    lift[:, 2] = joints[:, 0]
    arm_end = lift.copy()
    arm_end[:, 1] = -joints[:, 1]
    return {
        "base": _distance_to_box(axis_m, *BASE_BOX_M) - radius,
        "mast": _distance_to_box(axis_m, *MAST_BOX_M) - radius,
        "lift": _distance_to_box(outer_m, LIFT_BOX_M[0] + lift, LIFT_BOX_M[1] + lift) - upwards,
        "arm": _distance_to_box(outer_m, ARM_BOX_M[0] + arm_end, ARM_BOX_M[1] + lift) - upwards,
        "floor": axis_m[:, :, 2].min(axis=1) - config.gripper_radius_m - config.floor_clearance_m,
    }


def way(
    start: NDArray[np.float64], end: NDArray[np.float64], points: int = WAY_POINTS
) -> NDArray[np.float64]:
    """(points, 5) joints from `start` (5,) to `end` (5,), both included."""
    joints: NDArray[np.float64] = start + np.linspace(0.0, 1.0, points)[:, None] * (end - start)
    return joints


def check_motion(along: dict[str, NDArray[np.float64]], tolerance_m: float = 1e-4) -> str | None:
    """What a motion would hit, or None.

    A motion that starts inside a (conservative) volume may leave it: it is refused only if it goes
    deeper on its way.

    Args:
        along: `clearances` from the start of the way to its end.
        tolerance_m: deeper by this does not count.
    """
    for name, distances in along.items():
        deepest = float(distances[1:].min())
        if deepest < 0 and deepest < distances[0] - tolerance_m:
            return f"{name} (clearance {deepest * 1000:.0f} mm)"
    return None


def _distance_to_box(
    points_m: NDArray[np.float64], lower_m: NDArray[np.float64], upper_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) smallest distance of each row of points (N, P, 3) from its box [m].

    Inside it is minus the depth of the deepest point.
    """
    lower, upper = np.atleast_2d(lower_m)[:, None, :], np.atleast_2d(upper_m)[:, None, :]
    outside = np.maximum(np.maximum(lower - points_m, points_m - upper), 0.0)
    distance = np.sqrt((outside * outside).sum(axis=2)).min(axis=1)
    depth = np.minimum(points_m - lower, upper - points_m).min(axis=2).max(axis=1)
    result: NDArray[np.float64] = np.where(distance > 0, distance, -depth)
    return result
