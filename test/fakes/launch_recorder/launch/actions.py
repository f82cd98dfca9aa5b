"""Actions that only remember what they were given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class DeclareLaunchArgument:
    """Like launch's: without a default value the argument must be given."""

    name: str
    default_value: str | None = None
    description: str = ""
    choices: list[str] | None = None


@dataclass
class OpaqueFunction:
    """Gives further actions once the arguments' values are known."""

    function: Callable[..., list[Any]]


@dataclass
class SetEnvironmentVariable:
    """For the processes started after it."""

    name: str
    value: str


@dataclass
class LogInfo:
    """Says something."""

    msg: str


@dataclass
class Shutdown:
    """Ends the whole launch."""

    reason: str
