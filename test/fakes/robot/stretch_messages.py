"""Where the joints are and how far they go, in the messages of `stretch_driver`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import stretch_joints as sj
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState


def joint_states(
    measured: Mapping[str, float],
    instead: Mapping[str, float],
    hidden: Collection[str],
    reverse: bool,
    stamp: Time,
) -> JointState:
    """Joints [m, rad], the gripper given as an aperture; `instead` adds and replaces values."""
    values = dict(measured)
    finger = sj.aperture_to_finger_rad(values.pop(sj.GRIPPER))
    values |= {"joint_gripper_finger_left": finger, "joint_gripper_finger_right": finger}
    values |= {f"joint_arm_l{i}": values[sj.ARM] / 4.0 for i in range(4)}
    values |= instead
    names = [name for name in values if name not in hidden]
    if reverse:
        names.reverse()
    states = JointState(
        name=names,
        position=[float(values[name]) for name in names],
        velocity=[0.0] * len(names),
        effort=[0.0] * len(names),
    )
    states.header.stamp = stamp
    return states


def odometry(x_m: float, y_m: float, theta_rad: float, stamp: Time) -> Odometry:
    """The base where its wheels say it is."""
    message = Odometry(child_frame_id="base_link")
    message.header.stamp = stamp
    message.header.frame_id = "odom"
    message.pose.pose.position.x, message.pose.pose.position.y = x_m, y_m
    message.pose.pose.orientation.z = math.sin(theta_rad / 2.0)
    message.pose.pose.orientation.w = math.cos(theta_rad / 2.0)
    return message


def joint_limits() -> JointState:
    """Lower ends as positions, upper ends as velocities."""
    ranges = {("joint_arm" if name == sj.ARM else name): r for name, r in sj.LIMITS.items()}
    fingers = tuple(sj.aperture_to_finger_rad(end) for end in ranges[sj.GRIPPER])
    ranges |= {"joint_gripper_finger_left": fingers, "joint_gripper_finger_right": fingers}
    return JointState(
        name=list(ranges),
        position=[lower for lower, _ in ranges.values()],
        velocity=[upper for _, upper in ranges.values()],
    )
