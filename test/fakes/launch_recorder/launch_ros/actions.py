"""Actions that only remember what they were given."""

from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class Node:
    """A node's process."""

    package: str
    executable: str
    name: str
    namespace: str
    parameters: list[Any]
    remappings: list[tuple[str, str]]
    ros_arguments: list[str]
    output: str
    on_exit: Any
    respawn: bool
    respawn_delay: float
