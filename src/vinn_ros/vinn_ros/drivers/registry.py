"""The ways to reach a robot, by name; a package adds its own in the group "vinn_ros.drivers"."""

from __future__ import annotations

from vinn.registry import Registry

from vinn_ros.drivers.driver import Driver

DRIVERS: Registry[Driver] = Registry(
    "driver",
    "vinn_ros.drivers",
    Driver,
    {
        "streaming": "vinn_ros.drivers.streaming_position:DRIVER",
        "trajectory": "vinn_ros.drivers.follow_trajectory:DRIVER",
        "stretch_body": "vinn_ros.drivers.stretch_body:DRIVER",
    },
)
"""`stretch_driver` by joint_pose_cmd or by FollowJointTrajectory; Stretch without its driver."""
