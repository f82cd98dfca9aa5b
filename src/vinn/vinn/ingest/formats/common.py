"""What all importers share: what they yield, and how it lands on disk whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_directory
from vinn.demos.store import write_demonstration
from vinn.demos.types import LONGEST_NAME, ActionScale, CameraInfo, DemonstrationMeta, new_meta
from vinn.errors import DatasetError


class GripperOrder(str, Enum):
    """Which end of a source's gripper scale is open. Sources differ and do not say it."""

    OPEN_LOW = "open-low"
    """0 is open; the largest value is closed."""
    OPEN_HIGH = "open-high"
    """0 is closed; the largest value is open."""


@dataclass(frozen=True)
class Imported:
    """One demonstration on its way in; T frames.

    Attributes:
        meta: complete.
        frames_rgb: T images, made when they are asked for.
        camera_delta: (T, 3), or None without actions.
        gripper: (T,) 0..3, or None without actions.
        jpegs: the same frames as JPEG files' contents where the source has them; they are then
            stored unchanged.
    """

    meta: DemonstrationMeta
    frames_rgb: Iterable[NDArray[np.uint8]]
    camera_delta: NDArray[np.float64] | None
    gripper: NDArray[np.int64] | None
    jpegs: Iterable[bytes] | None = None


def write_imported(
    demonstrations: Iterable[Imported],
    out: Path,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write a new dataset; nothing is left if any demonstration fails. Returns their number.

    Raises:
        DatasetError: `out` exists, nothing to import, or a demonstration is malformed.
    """
    count = 0
    with atomic_directory(out, DatasetError) as folder:
        for found in demonstrations:
            frames = found.frames_rgb if found.jpegs is None else found.jpegs
            write_demonstration(folder, found.meta, frames, found.camera_delta, found.gripper)
            count += 1
            if on_progress is not None:
                on_progress(count)
        if count == 0:
            raise DatasetError(f"{out}: nothing to import was found")
    return count


def numbers(values: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """Finite numbers of a shape; -1 in the shape is any length.

    Raises:
        DatasetError: anything else; starts with `what`.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as cause:
        raise DatasetError(f"{what}: expected numbers") from cause
    fits = array.ndim == len(shape) and all(
        want in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        raise DatasetError(f"{what}: expected {shape} finite numbers, got shape {array.shape}")
    return array


def unit_or_zero(deltas: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, 3) vectors at length 1; those shorter than 1e-9 become zero."""
    length = np.linalg.norm(deltas, axis=1, keepdims=True)
    return np.where(length > 1e-9, deltas / np.maximum(length, 1e-9), 0.0)


def states_from_order(
    values: NDArray[np.float64], order: GripperOrder, what: str
) -> NDArray[np.int64]:
    """Integer classes 0..3 of a source in this project's order.

    Raises:
        DatasetError: a value is not 0, 1, 2 or 3.
    """
    wrong = ~np.isin(values, (0, 1, 2, 3))
    if wrong.any():
        raise DatasetError(
            f"{what}: gripper {values[np.flatnonzero(wrong)[0]]:g}; allowed: 0, 1, 2, 3"
        )
    states = values.astype(np.int64)
    return states if order is GripperOrder.OPEN_LOW else 3 - states


def states_from_aperture(
    values: NDArray[np.float64], order: GripperOrder, low: float = 0.0, high: float = 1.0
) -> NDArray[np.int64]:
    """Quarters of a continuous gripper value's range as the four states."""
    share = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    closed = share if order is GripperOrder.OPEN_LOW else 1 - share
    return np.minimum((closed * 4).astype(np.int64), 3)


def pose_deltas(
    positions_m: NDArray[np.float64], world_R_camera: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(T, 3) motion to the next of T + 1 poses, in the optical frame of each."""
    motion = np.diff(positions_m, axis=0)
    return np.asarray(np.einsum("nji,nj->ni", world_R_camera[:-1], motion))


def rotations_from_quaternions(
    quaternion_xyzw: NDArray[np.float64], what: str
) -> NDArray[np.float64]:
    """(N, 3, 3) from unit quaternions (x, y, z, w).

    Raises:
        DatasetError: one is not of length 1; starts with `what`.
    """
    length = np.linalg.norm(quaternion_xyzw, axis=1)
    if (np.abs(length - 1) > 0.01).any():
        raise DatasetError(f"{what}: a quaternion has length {length.min():.3g}, not 1")
    x, y, z, w = (quaternion_xyzw / length[:, None]).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], -1),
            np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], -1),
            np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], -1),
        ],
        axis=1,
    )


def safe_name(text: str) -> str:
    """A demonstration's name from any text."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    return (name if re.match(r"[A-Za-z0-9]", name) else f"d{name}")[:LONGEST_NAME]


def frame_meta(
    name: str,
    task: str,
    first_rgb: NDArray[np.uint8],
    camera: str,
    scale: ActionScale,
    provenance: dict[str, Any],
    frame_rate_hz: float | None = None,
) -> DemonstrationMeta:
    """Metadata for frames of the first one's size."""
    return new_meta(
        name=safe_name(name),
        task=task,
        camera=CameraInfo(name=camera, width_px=first_rgb.shape[1], height_px=first_rgb.shape[0]),
        frame_rate_hz=frame_rate_hz,
        action_scale=scale,
        provenance=provenance,
    )


def inside(folder: Path, name: Any, what: str) -> Path:
    """A plain file of `folder` by a name that came from a file.

    Raises:
        DatasetError: the name leads elsewhere, or there is no such file.
    """
    if not isinstance(name, str) or "/" in name or "\\" in name or name in ("", ".", ".."):
        raise DatasetError(f"{what}: {name!r} is not a plain file name")
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise DatasetError(f"{what}: no such file {path}")
    return path


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sorts `frame2` before `frame10`."""
    parts: Sequence[str] = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]
