"""Stand-in for ROS 2's `launch`: what this project's launch files use, recorded instead of run."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class LaunchContext:
    """Values of the launch arguments."""

    launch_configurations: dict[str, str] = field(default_factory=dict)


@dataclass
class LaunchDescription:
    """Actions in order."""

    entities: list[Any]
