"""Record3D's `.r3d`: a zip of JPEG frames and metric camera poses of a phone.

    metadata       JSON: "poses": [[qx, qy, qz, qw, x, y, z], ...], "fps", "frameTimestamps"
    rgbd/N.jpg     frames

A pose is the camera's in the world with ARKit's axes: x right, y up, z backward. `frameTimestamps`
[s] is of newer versions of the app; `fps` is then only what was asked of the camera. Frames are
stored as the sensor lies in the phone; a phone held upright films them lying on their side.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import decode_jpeg
from vinn.demos.types import ActionScale
from vinn.errors import DatasetError, ImageError
from vinn.ingest.formats.common import (
    Imported,
    frame_meta,
    numbers,
    pose_deltas,
    rotations_from_quaternions,
)
from vinn.ingest.sample_times import sampled_indices
from vinn.reading.documents import parse_json
from vinn.reading.regular import check_regular, parsing

_MAX_METADATA_BYTES, _MAX_FRAME_BYTES = 256 * 2**20, 64 * 2**20


def read_record3d(
    path: Path, task: str, action_rate_hz: float, rotate_deg: int = 0
) -> Iterator[Imported]:
    """One demonstration in metres; the gripper is open throughout (a phone does not know it).

    Args:
        path: the `.r3d` file.
        task: what it demonstrates.
        action_rate_hz: frames used per second of the recording.
        rotate_deg: 0, 90, 180 or 270, how far frames are turned clockwise to be upright; the
            actions turn with them.

    Raises:
        DatasetError: `rotate_deg` is another, not such a file, damaged, names that leave it, or
            poses that never change (tracking was off).
    """
    if rotate_deg not in (0, 90, 180, 270):
        raise DatasetError(f"rotate: {rotate_deg}; allowed: 0, 90, 180, 270")
    check_regular(path, DatasetError)
    with parsing(path, DatasetError, "a Record3D file (a zip)"):
        archive = zipfile.ZipFile(path)
    with archive:
        for name in archive.namelist():
            parts = name.replace("\\", "/").split("/")
            if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
                raise DatasetError(f"{path}: the entry {name!r} leads out of the archive")
        metadata = parse_json(
            _entry(archive, path, "metadata", _MAX_METADATA_BYTES), path, DatasetError
        )
        if not isinstance(metadata, dict):
            raise DatasetError(f"{path}: metadata is not a mapping")
        poses = numbers(metadata.get("poses"), (-1, 7), f"{path}: poses")
        fps = float(numbers(metadata.get("fps"), (), f"{path}: fps"))
        if not 1 <= fps <= 240:
            raise DatasetError(f"{path}: fps = {fps:g}; allowed: 1 to 240")
        times_s = _times_s(metadata, len(poses), fps, path)
        used = np.array(sampled_indices(times_s.tolist(), action_rate_hz))
        if len(used) < 2:
            raise DatasetError(f"{path}: {len(poses)} poses are not even one step")
        if np.ptp(poses, axis=0).max() < 1e-9:
            raise DatasetError(f"{path}: all poses are the same: tracking was off")
        # ARKit's axes to optical ones: x right, y down, z forward.
        axes = rotations_from_quaternions(poses[used, :4], str(path)) @ np.diag([1.0, -1.0, -1.0])
        quarters = rotate_deg // 90
        deltas = pose_deltas(poses[used, 4:], axes) @ _clockwise(quarters).T
        first = _frame(archive, path, int(used[0]), quarters)
        meta = frame_meta(
            path.stem,
            task,
            first,
            "record3d",
            ActionScale.METRIC,
            {
                "tool": "vinn demos import",
                "format": "record3d",
                "gripper": "unlabelled",
                "rotated_clockwise_deg": rotate_deg,
            },
            action_rate_hz,
        )
        frames = (_frame(archive, path, int(index), quarters) for index in used[:-1])
        yield Imported(meta, frames, deltas, np.zeros(len(used) - 1, np.int64))


def _times_s(metadata: dict[str, Any], count: int, fps: float, path: Path) -> NDArray[np.float64]:
    """(count,) time of each frame since the first [s]."""
    stated = metadata.get("frameTimestamps")
    if stated is None:
        return np.arange(count) / fps
    stamps_s = numbers(stated, (-1,), f"{path}: frameTimestamps")
    if len(stamps_s) != count or (np.diff(stamps_s) <= 0).any():
        raise DatasetError(
            f"{path}: frameTimestamps: {len(stamps_s)} for {count} poses; allowed: one for each, "
            "later than that before"
        )
    return stamps_s - stamps_s[:1]


def _clockwise(quarters: int) -> NDArray[np.float64]:
    """(3, 3): optical axes before -> after an image was turned; right becomes down."""
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(np.linalg.matrix_power(quarter, quarters))


def _frame(archive: zipfile.ZipFile, path: Path, index: int, quarters: int) -> NDArray[np.uint8]:
    name = f"rgbd/{index}.jpg"
    try:
        image = decode_jpeg(_entry(archive, path, name, _MAX_FRAME_BYTES), f"{path}: {name}")
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause
    return np.ascontiguousarray(np.rot90(image, -quarters))


def _entry(archive: zipfile.ZipFile, path: Path, name: str, limit: int) -> bytes:
    """An entry's bytes; the size stated in the archive is checked, and what really comes too."""
    if name not in archive.namelist():
        raise DatasetError(f"{path}: the entry {name!r} is missing")
    # zlib, lzma and bz2 have errors of their own
    with (
        parsing(f"{path}: the entry {name!r}", DatasetError, "what can be unpacked"),
        archive.open(name) as file,
    ):
        data = file.read(limit + 1)
    if len(data) > limit:
        raise DatasetError(f"{path}: the entry {name!r} is larger than {limit >> 20} MiB")
    return data
