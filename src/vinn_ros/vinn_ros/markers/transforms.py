"""Gripper and camera as transforms, by the kinematics that the motion filter uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from numpy.typing import NDArray
from vinn.robot.config import RobotConfig
from vinn.robot.kinematics import base_T_gripper, gripper_R_camera

BASE_FRAME = "base_link"
GRIPPER_FRAME = "vinn_gripper"
"""x right, y forward, z up, between the finger tips: the axes of the scale c."""
CAMERA_FRAME = "wrist_camera_optical_frame"
_NEEDED = ("joint_lift", "joint_wrist_yaw")


def gripper_transform(
    joints: Mapping[str, float], config: RobotConfig, stamp: Time
) -> TransformStamped | None:
    """Base to gripper from joint positions by name; None: lift, arm or yaw is not among them."""
    arm_m = joints.get("wrist_extension", joints.get("joint_arm"))
    if arm_m is None or any(name not in joints for name in _NEEDED):
        return None
    pose = base_T_gripper(
        joints["joint_lift"],
        arm_m,
        joints["joint_wrist_yaw"],
        joints.get("joint_wrist_pitch", 0.0),
        joints.get("joint_wrist_roll", 0.0),
        config.tool.geometry,
    )
    return _stamped(pose, BASE_FRAME, GRIPPER_FRAME, stamp)


def camera_transform(config: RobotConfig, stamp: Time) -> TransformStamped:
    """Gripper to camera: the mount's rotation. Where the camera sits is not configured; no action
    depends on it."""
    pose = np.eye(4)
    pose[:3, :3] = gripper_R_camera(config.camera)
    return _stamped(pose, GRIPPER_FRAME, CAMERA_FRAME, stamp)


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(x, y, z, w) of a rotation matrix (3, 3), w >= 0."""
    m = rotation
    # Shepperd's method: the largest of the four is found first, so nothing small is divided by.
    values = np.array([m[0, 0], m[1, 1], m[2, 2], np.trace(m)])
    largest = int(np.argmax(values))
    q = np.empty(4)
    if largest == 3:
        q[:] = (m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1.0 + values[3])
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        q[i] = 1.0 + 2.0 * m[i, i] - values[3]
        q[j], q[k] = m[j, i] + m[i, j], m[k, i] + m[i, k]
        q[3] = m[k, j] - m[j, k]
    q *= math.copysign(1.0, q[3]) / np.linalg.norm(q)
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def _stamped(pose: NDArray[np.float64], parent: str, child: str, stamp: Time) -> TransformStamped:
    transform: Any = TransformStamped(child_frame_id=child)
    transform.header.frame_id = parent
    transform.header.stamp = stamp
    transform.transform.translation = Vector3(**dict(zip("xyz", pose[:3, 3].tolist(), strict=True)))
    x, y, z, w = quaternion(pose[:3, :3])
    transform.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
    return transform
