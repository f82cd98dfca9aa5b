"""Forward kinematics of Stretch, and the rotations between its frames.

Frames (see `vinn.robot.types`): `base` x forward, y left, z up; `gripper` (right, forward, up) as
seen from behind the gripper, origin between the finger tips (`link_grasp_center`); `camera` the
optical frame x right, y down, z forward. All three are right-handed. `a_R_b` turns a vector in b
into a.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vinn.robot.config import CameraMount, WristGeometry

BASE_P_WRIST_YAW_M = np.array([-0.02138, -0.14495, 0.16425])
"""Wrist yaw axis at arm 0 and lift 0, in base axes [m]; the same in every Stretch URDF."""

_GRIPPER_R_CAMERA_LEVEL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""A camera that looks exactly along the gripper: x = right, y = -up, z = forward."""


def rotation_x(angle_rad: float) -> NDArray[np.float64]:
    """Rotation matrix about x (right-hand rule)."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def rotation_y(angle_rad: float) -> NDArray[np.float64]:
    """Rotation matrix about y (right-hand rule)."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def rotation_z(angle_rad: float) -> NDArray[np.float64]:
    """Rotation matrix about z (right-hand rule)."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def base_R_gripper(
    wrist_yaw_rad: float, wrist_pitch_rad: float = 0.0, wrist_roll_rad: float = 0.0
) -> NDArray[np.float64]:
    """(3, 3) rotation of the gripper's axes (right, forward, up) in base axes.

    Yaw 0 points the gripper along the arm (-y of the base) and is positive counter-clockwise from
    above; positive pitch raises the finger tips; positive roll leans the gripper's up to its right.
    """
    return (
        rotation_z(math.pi + wrist_yaw_rad)
        @ rotation_x(wrist_pitch_rad)
        @ rotation_y(wrist_roll_rad)
    )


def gripper_R_camera(mount: CameraMount) -> NDArray[np.float64]:
    """(3, 3) rotation of the camera's optical axes in the gripper's axes.

    The camera looks along the gripper, is pitched down by `mount.tilt_rad` about the gripper's
    right axis, and rolled by `mount.roll_rad` about its own optical axis.
    """
    return rotation_x(-mount.tilt_rad) @ _GRIPPER_R_CAMERA_LEVEL @ rotation_z(mount.roll_rad)


def yaw_axis_p_grasp(
    wrist_yaw_rad: float, wrist_pitch_rad: float, geometry: WristGeometry
) -> NDArray[np.float64]:
    """(3,) from the wrist yaw axis to the grasp centre, in base axes [m].

    The roll axis passes through the grasp centre, so roll turns the gripper but moves no point.
    """
    sin_p, cos_p = math.sin(wrist_pitch_rad), math.cos(wrist_pitch_rad)
    forward = cos_p * geometry.grasp_forward_m - sin_p * geometry.grasp_up_m
    up = sin_p * geometry.grasp_forward_m + cos_p * geometry.grasp_up_m
    # At yaw 0 the gripper points along the arm, which is -y of the base.
    return np.array(
        [
            math.sin(wrist_yaw_rad) * forward,
            -math.cos(wrist_yaw_rad) * forward,
            up + geometry.pitch_axis_up_m,
        ]
    )


def base_T_gripper(
    lift_m: float,
    arm_m: float,
    wrist_yaw_rad: float,
    wrist_pitch_rad: float,
    wrist_roll_rad: float,
    geometry: WristGeometry,
) -> NDArray[np.float64]:
    """(4, 4) pose of the gripper (`link_grasp_center`) in the base frame."""
    pose = np.eye(4)
    pose[:3, :3] = base_R_gripper(wrist_yaw_rad, wrist_pitch_rad, wrist_roll_rad)
    wrist_yaw_m = BASE_P_WRIST_YAW_M + np.array([0.0, -arm_m, lift_m])
    pose[:3, 3] = wrist_yaw_m + yaw_axis_p_grasp(wrist_yaw_rad, wrist_pitch_rad, geometry)
    return pose


def rotation_from_vector(rotation_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rotation about the axis `rotation_rad` (3,) by its length (Rodrigues)."""
    angle = float(np.linalg.norm(rotation_rad))
    x, y, z = (float(v) for v in rotation_rad)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-9:
        return np.eye(3) + cross
    a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / angle**2
    return np.eye(3) + a * cross + b * cross @ cross
