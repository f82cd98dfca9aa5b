"""The two layouts in which VINN's own door-opening data are found, under one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path

from vinn.errors import ConfigError, DatasetError
from vinn.ingest.formats.common import GripperOrder, Imported
from vinn.ingest.formats.door_opening import read_door_opening
from vinn.ingest.formats.vinn_original import read_original


class Layout(str, Enum):
    """How demonstrations lie on disk."""

    VINN_ORIGINAL = "vinn-original"
    """Actions per image, as the paper's code read them."""
    DOOR_OPENING_DATA = "door-opening-data"
    """Absolute poses per image: the public copy."""


def read_layout(
    layout: Layout, root: Path, gripper_order: GripperOrder | None, task: str = "door_opening"
) -> Iterator[Imported]:
    """Every run below a folder.

    Raises:
        ConfigError: the layout needs `gripper_order`.
        DatasetError: no runs, or a malformed one.
    """
    if layout is Layout.VINN_ORIGINAL:
        return read_original(root, task, gripper_order)
    if gripper_order is None:
        raise ConfigError("say the gripper's direction with --gripper-order open-low or open-high")
    return read_door_opening(root, task, gripper_order)


def cropped(
    demonstrations: Iterator[Imported], box_px: tuple[int, int, int, int]
) -> Iterator[Imported]:
    """The same with each frame cut to (left, top, right, bottom) [px], right and bottom excluded.

    Raises:
        DatasetError: a demonstration's frames are smaller than the box.
    """
    left, top, right, bottom = box_px
    for found in demonstrations:
        camera = found.meta.camera
        if right > camera.width_px or bottom > camera.height_px:
            raise DatasetError(
                f"{found.meta.name}: frames of {camera.width_px} x {camera.height_px} px; the crop "
                f"{left},{top},{right},{bottom} does not fit"
            )
        size = {"width_px": right - left, "height_px": bottom - top}
        yield replace(
            found,
            meta=found.meta.model_copy(update={"camera": camera.model_copy(update=size)}),
            frames_rgb=(frame[top:bottom, left:right] for frame in found.frames_rgb),
            jpegs=None,
        )
