"""Joints by the names under which Stretch's drivers publish them, and limits in those messages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sensor_msgs.msg import JointState
from vinn.errors import RobotError
from vinn.robot.types import JointLimits, JointRange

from vinn_ros.drivers.pose_command import finger_rad_to_aperture

JOINTS = {
    "lift_m": ("joint_lift",),
    "arm_m": ("wrist_extension", "joint_arm"),
    "wrist_yaw_rad": ("joint_wrist_yaw",),
    "wrist_pitch_rad": ("joint_wrist_pitch",),
    "wrist_roll_rad": ("joint_wrist_roll",),
}
"""Field of `RobotState` -> the names under which the driver may publish it."""

FINGERS = ("joint_gripper_finger_left", "joint_gripper_finger_right")


def named(values: Mapping[str, Any], *names: str) -> Any:
    """The value under the first of `names` that there is.

    Raises:
        vinn.errors.RobotError: there is none, or it is not finite.
    """
    for name in names:
        if name in values:
            value = values[name]
            if isinstance(value, float) and not math.isfinite(value):
                raise RobotError(f"joint states: {name} is {value}")
            return value
    raise RobotError(f"joint states: {names[0]} is missing")


def joint_limits(message: JointState, fixed: Mapping[str, float] | None = None) -> JointLimits:
    """Limits as `stretch_driver` sends them: lower ones as positions, upper ones as velocities.

    Args:
        message: what the driver sent.
        fixed: joints that the tool does not have, by field, and where they count as standing.

    Raises:
        vinn.errors.RobotError: a joint is missing, or its limits are no interval.
    """
    ranges = {
        name: JointRange(lower, upper)
        for name, lower, upper in zip(
            message.name, message.position, message.velocity, strict=False
        )
        if math.isfinite(lower) and math.isfinite(upper) and lower <= upper
    }
    for field, value in (fixed or {}).items():
        if not ranges.keys() & set(JOINTS[field]):
            ranges[JOINTS[field][0]] = JointRange(value, value)
    return JointLimits(
        gripper_aperture_m=_aperture_range(ranges),
        **{field: named(ranges, *names) for field, names in JOINTS.items()},
    )


def _aperture_range(ranges: Mapping[str, JointRange]) -> JointRange:
    if "gripper_aperture" in ranges:
        return ranges["gripper_aperture"]
    finger = named(ranges, *FINGERS)
    return JointRange(finger_rad_to_aperture(finger.lower), finger_rad_to_aperture(finger.upper))
