"""What a way to reach a robot is: a name, and how it is made.

A driver is one file with a class that answers to `StartableDriver` and its `Driver`, `DRIVER`;
docs/extend.md shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vinn.robot.config import RobotConfig
from vinn.robot.types import RobotDriver

from vinn_ros.node.lifecycle import VinnNode


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


@dataclass(frozen=True)
class DriverSettings:
    """The executor's parameters for its driver; each takes what concerns it.

    Attributes:
        pose_layout: entries of joint_pose_cmd; empty: by the tool.
        gripper_unit: of joint_pose_cmd.
        service_timeout_s: for an answer of the robot's services.
    """

    pose_layout: Sequence[str] = ()
    gripper_unit: str = "finger_rad"
    service_timeout_s: float = 5.0


@dataclass(frozen=True)
class Driver:
    """A way to reach a robot. Never two at once, since their commands would fight.

    Attributes:
        name: the executor's parameter `driver`.
        build: makes it; topics, services and actions are the given node's own. May raise
            `vinn.errors.ConfigError`: what it needs is not installed, or its settings are wrong.
    """

    name: str
    build: Callable[[VinnNode, DriverSettings], StartableDriver]
