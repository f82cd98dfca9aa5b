"""The ways to reach a robot, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vinn.robot.config import RobotConfig
from vinn.robot.stretch_body.driver import StretchBodyDriver
from vinn.robot.types import RobotDriver

from vinn_ros.drivers.follow_trajectory import FollowTrajectoryDriver
from vinn_ros.drivers.pose_command import AUTO
from vinn_ros.drivers.streaming_position import StreamingPositionDriver
from vinn_ros.node.lifecycle import VinnNode

DRIVERS = ("streaming", "trajectory", "stretch_body")
"""`stretch_driver` by joint_pose_cmd or by FollowJointTrajectory; Stretch without its driver."""


class StartableDriver(RobotDriver, Protocol):
    """A driver that has to be set up before its first command, and left afterwards."""

    @property
    def interrupted(self) -> bool:
        """Whether the robot's side may have been started again since `start`."""

    def start(self, config: RobotConfig) -> None:
        """Make the robot ready; blocks for some service calls.

        Raises:
            vinn.errors.RobotError: it is not to be had.
        """

    def stop(self) -> None:
        """Let go of the robot."""


def build_driver(
    name: str,
    node: VinnNode,
    *,
    pose_layout: Sequence[str],
    gripper_unit: str,
    service_timeout_s: float,
) -> StartableDriver:
    """One of `DRIVERS`; never two at once, since their commands would fight.

    Args:
        name: which.
        node: topics, services and actions are its own.
        pose_layout: entries of joint_pose_cmd, or `auto` alone: by the tool.
        gripper_unit: of joint_pose_cmd.
        service_timeout_s: for an answer of the robot's services.

    Raises:
        vinn.errors.ConfigError: what the driver needs is not installed, or its settings are wrong.
    """
    if name == "stretch_body":
        return StretchBodyDriver()
    if name == "trajectory":
        return FollowTrajectoryDriver(node, service_timeout_s)
    layout = () if list(pose_layout) == [AUTO] else tuple(pose_layout)
    return StreamingPositionDriver(node, layout, gripper_unit, service_timeout_s)
