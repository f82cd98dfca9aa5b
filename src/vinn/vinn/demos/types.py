"""What a demonstration is.

Notation: T frames in a demonstration. Frame i was seen, then the hand moved by action i (a
translation in the optical frame of frame i: x right, y down, z forward) while the gripper went to
gripper state i. A step that only closes or waits has zero translation and is data like any other.
"""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vinn.errors import DatasetError
from vinn.reading.documents import first_problem

SCHEMA_VERSION = 1
_NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"
LONGEST_NAME = 100
"""Characters of a demonstration's name, which is a folder's."""


class GripperState(IntEnum):
    """The paper's four gripper states (section III-C), in this project's order."""

    OPEN = 0
    ALMOST_OPEN = 1
    ALMOST_CLOSED = 2
    CLOSED = 3


class ActionScale(str, Enum):
    """The unit of a demonstration's translations."""

    METRIC = "metric"
    """Metres."""
    UNIT = "unit"
    """Unit vectors (structure from motion has no scale) or exactly zero."""


class CameraInfo(BaseModel):
    """The camera that saw the frames. Intrinsics in pixels of the stored frames, where known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    fx_px: float | None = None
    fy_px: float | None = None
    cx_px: float | None = None
    cy_px: float | None = None


class DemonstrationMeta(BaseModel):
    """Contents of `meta.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str = Field(pattern=f"^{_NAME}$", max_length=LONGEST_NAME)
    task: str
    camera: CameraInfo
    frame_rate_hz: float | None = Field(default=None, gt=0)
    """None where frames are taken one per step and not at a rate."""
    action_scale: ActionScale = ActionScale.METRIC
    has_actions: bool = True
    """False for frames that only the encoder learns from."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """How it came to be: tool, seed, cabinet, operator, source file and its hash."""


def check_name(name: object) -> None:
    """Refuse what cannot be a demonstration's name.

    Raises:
        DatasetError: says what is allowed.
    """
    fits = isinstance(name, str) and len(name) <= LONGEST_NAME and re.fullmatch(_NAME, name)
    if not fits:
        raise DatasetError(
            f"demonstration's name {reprlib.repr(name)}; allowed: 1 to {LONGEST_NAME} letters, "
            "digits, '.', '_' and '-', the first a letter or digit"
        )


def new_meta(**fields: Any) -> DemonstrationMeta:
    """The meta data of a new demonstration, from what a user or a file says.

    Raises:
        DatasetError: a field is not allowed; names it, its value and what is.
    """
    check_name(fields.get("name"))
    try:
        return DemonstrationMeta(**fields)
    except ValidationError as cause:
        raise DatasetError(f"demonstration: {first_problem(cause)}") from cause


@dataclass(frozen=True)
class Demonstration:
    """One demonstration as read from disk; frames stay on disk until asked for.

    Attributes:
        meta: who, what, which camera.
        frame_paths: T paths of JPEG files, in order.
        camera_delta: (T, 3) float32, [m] or unit vectors (`meta.action_scale`); zeros (T, 3) if
            `meta.has_actions` is False.
        gripper: (T,) int8 in 0..3, the state to be reached by step i; zeros without actions.
    """

    meta: DemonstrationMeta
    frame_paths: tuple[Path, ...]
    camera_delta: NDArray[np.float32]
    gripper: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.frame_paths)
