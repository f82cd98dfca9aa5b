"""Where the camera was, from messages of poses, or of Stretch's joints and odometry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.errors import DatasetError
from vinn.ingest.formats.common import numbers, rotations_from_quaternions
from vinn.robot.config import CameraMount, WristGeometry
from vinn.robot.kinematics import base_T_gripper, gripper_R_camera, rotation_z

_NEEDED = ("joint_lift", "wrist_extension", "joint_wrist_yaw", "gripper_aperture")


def poses_from_messages(
    messages: Sequence[Any], what: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (T, 3) [m] and axes (T, 3, 3) from geometry_msgs/PoseStamped.

    Raises:
        DatasetError: not finite, or a quaternion is none; starts with `what`.
    """
    rows = [_pose_row(message) for message in messages]
    poses = numbers(rows, (len(messages), 7), f"{what}: poses")
    return poses[:, :3], rotations_from_quaternions(poses[:, 3:], what)


def joint_values(message: Any, what: str) -> dict[str, float]:
    """Positions of a sensor_msgs/JointState by name.

    Raises:
        DatasetError: a joint is missing, or not finite; starts with `what`.
    """
    values = dict(zip(message.name, (float(v) for v in message.position), strict=False))
    for name in _NEEDED:
        if name not in values:
            raise DatasetError(f"{what}: joint states lack '{name}'")
    if not np.isfinite(list(values.values())).all():
        raise DatasetError(f"{what}: joint states are not finite")
    return values


def camera_pose(
    joints: dict[str, float], odometry: Any, mount: CameraMount
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position of the grasp centre [m] and the camera's optical axes.

    With the wrist held, the camera's translations are those of the grasp centre.

    Args:
        joints: as `joint_values` gives them.
        odometry: nav_msgs/Odometry; None: the base stands.
        mount: how the camera sits on the gripper.
    """
    pose = base_T_gripper(
        joints["joint_lift"],
        joints["wrist_extension"],
        joints["joint_wrist_yaw"],
        joints.get("joint_wrist_pitch", 0.0),
        joints.get("joint_wrist_roll", 0.0),
        WristGeometry(),
    )
    turn, offset = np.eye(3), np.zeros(3)
    if odometry is not None:
        base = odometry.pose.pose
        q = base.orientation
        turn = rotation_z(float(np.arctan2(2 * (q.w * q.z + q.x * q.y),
                                           1 - 2 * (q.y * q.y + q.z * q.z))))  # fmt: skip
        offset = np.array([base.position.x, base.position.y, base.position.z])
    return offset + turn @ pose[:3, 3], turn @ pose[:3, :3] @ gripper_R_camera(mount)


def _pose_row(message: Any) -> list[float]:
    p, q = message.pose.position, message.pose.orientation
    return [p.x, p.y, p.z, q.x, q.y, q.z, q.w]
