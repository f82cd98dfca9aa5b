"""What the page needs from the robot's side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

COMMANDS = (
    *("reset", "ready", "start", "label", "step", "clear_latch", "set_parameter"),
    *("take_over", "drive"),
)
"""What `Backend.run` can do. Stop is not among them: it never waits for anything."""


@dataclass(frozen=True)
class Picture:
    """A JPEG and its number; another number is another picture."""

    number: int
    jpeg: bytes


class Backend(Protocol):
    """Thread-safe; the server calls it from its own threads."""

    def snapshot(self) -> dict[str, Any]:
        """Everything the page shows, for JSON; returns at once."""

    def wrist(self) -> Picture | None:
        """The newest wrist frame."""

    def mosaic(self) -> Picture | None:
        """The newest picture of the neighbours."""

    def watched(self, viewers: int) -> None:
        """So many pages are open; pictures nobody looks at need not be drawn."""

    def stop(self) -> None:
        """Ask supervisor and executor to stop; returns at once and never raises."""

    def run(self, command: str, arguments: Mapping[str, Any]) -> tuple[bool, str]:
        """Do one of `COMMANDS`; may take long. Returns whether it was done, and what to say."""
