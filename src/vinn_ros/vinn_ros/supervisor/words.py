"""What an operator says of a rollout: its name before, the verdict and a note after."""

from __future__ import annotations

from pathlib import Path

from vinn.errors import DatasetError
from vinn.robot.types import ReasonCode
from vinn.rollout.label import RolloutLabel, write_label

MAX_NAME, MAX_NOTE = 200, 2000
"""Characters of a rollout's name, and of the note of its label."""


def too_long(what: str, text: str, most: int) -> tuple[ReasonCode, str] | None:
    """Why a text is refused, or None."""
    if len(text) <= most:
        return None
    return ReasonCode.INVALID_INPUT, f"{what}: {len(text)} characters; allowed: {most}"


def keep_label(recordings: Path, label: RolloutLabel) -> tuple[bool, str]:
    """Write a label beside its recording; whether it worked, and where it is or why it did not."""
    try:
        return True, str(write_label(recordings, label))
    except DatasetError as error:
        return False, str(error)
