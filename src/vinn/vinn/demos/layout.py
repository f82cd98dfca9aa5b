"""One demonstration on disk: written whole or not at all, read with cheap checks.

    NAME/meta.json         DemonstrationMeta
    NAME/frames.parquet    one row per frame: frame, file, dx, dy, dz, gripper, sha256
    NAME/frames/000000.jpg ...
    NAME/SHA256SUMS        of meta.json and frames.parquet, which has those of the frames

`docs/data-format.md` is the specification.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from vinn.demos.actions import checked_actions
from vinn.demos.checksums import check_listed, read_checksums, write_checksums
from vinn.demos.files import atomic_directory, sha256_bytes
from vinn.demos.frames import check_image, decode_jpeg, encode_jpeg
from vinn.demos.types import (
    SCHEMA_VERSION,
    Demonstration,
    DemonstrationMeta,
)
from vinn.errors import DatasetError, ImageError
from vinn.reading.documents import parse_model
from vinn.reading.regular import read_bytes
from vinn.reading.tables import parse_table

FRAME_COLUMNS = pa.schema(
    [
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("dx", pa.float32(), nullable=False),
        pa.field("dy", pa.float32(), nullable=False),
        pa.field("dz", pa.float32(), nullable=False),
        pa.field("gripper", pa.int8(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)


def write_demonstration(
    root: Path,
    meta: DemonstrationMeta,
    frames_rgb: Iterable[NDArray[np.uint8] | bytes],
    camera_delta: ArrayLike | None,
    gripper: ArrayLike | None,
) -> Path:
    """Write one demonstration of T frames to `root/meta.name`.

    Args:
        root: folder of the dataset; made if missing.
        meta: its `camera` must state the size of the frames.
        frames_rgb: T images, (H, W, 3) uint8 RGB, or JPEG files' contents, which are stored as they
            are.
        camera_delta: (T, 3) in `meta.action_scale`; None if `meta.has_actions` is False.
        gripper: (T,) integers in 0..3; None if `meta.has_actions` is False.

    Returns:
        The demonstration's folder.

    Raises:
        DatasetError: the name is taken, or frames, actions and meta do not fit together. Nothing
            is left on disk.
    """
    target = Path(root) / meta.name
    delta, states = _checked_actions(meta, camera_delta, gripper, str(target))
    with atomic_directory(target, DatasetError) as folder:
        (folder / "frames").mkdir()
        files: list[str] = []
        hashes: list[str] = []
        for index, frame in enumerate(frames_rgb):
            data = _jpeg(frame, meta, f"{target}: frame {index}")
            files.append(f"frames/{index:06d}.jpg")
            hashes.append(sha256_bytes(data))
            (folder / files[-1]).write_bytes(data)
        count = len(files)
        if count == 0:
            raise DatasetError(f"{target}: a demonstration needs at least 1 frame, got 0")
        if delta is None or states is None:
            delta, states = np.zeros((count, 3), np.float32), np.zeros(count, np.int8)
        if len(delta) != count:
            raise DatasetError(f"{target}: {count} frames but {len(delta)} actions")
        table = pa.table(
            [
                pa.array(range(count), pa.int32()),
                files,
                delta[:, 0],
                delta[:, 1],
                delta[:, 2],
                states,
                hashes,
            ],
            schema=FRAME_COLUMNS,
        )
        pq.write_table(table, folder / "frames.parquet")
        (folder / "meta.json").write_text(meta.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_checksums(folder, ("meta.json", "frames.parquet"))
    return target


def read_demonstration(folder: Path) -> Demonstration:
    """Read one demonstration's meta data and actions; frames are only checked to be there.

    Raises:
        DatasetError: a file is missing or malformed; the message names it.
    """
    return read_with_hashes(Path(folder))[0]


def _jpeg(frame: NDArray[np.uint8] | bytes, meta: DemonstrationMeta, what: str) -> bytes:
    if not isinstance(frame, bytes):
        check_frame_size(frame, meta, what)
        return encode_jpeg(frame)
    try:
        image = decode_jpeg(frame, what)
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause
    check_frame_size(image, meta, what)
    return frame


def check_frame_size(frame: NDArray[np.uint8], meta: DemonstrationMeta, what: str) -> None:
    """Refuse a frame whose shape, type or size is not what `meta` says.

    Raises:
        DatasetError: the message starts with `what`.
    """
    try:
        check_image(frame, what)
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause
    height, width = frame.shape[:2]
    if (width, height) != (meta.camera.width_px, meta.camera.height_px):
        raise DatasetError(
            f"{what}: size {width}x{height} differs from meta.json's "
            f"{meta.camera.width_px}x{meta.camera.height_px}"
        )


def _checked_actions(
    meta: DemonstrationMeta,
    camera_delta: ArrayLike | None,
    gripper: ArrayLike | None,
    what: str,
) -> tuple[NDArray[np.float32] | None, NDArray[np.int8] | None]:
    """Actions as arrays, or (None, None) for frames without actions."""
    if not meta.has_actions:
        if camera_delta is not None or gripper is not None:
            raise DatasetError(f"{what}: has_actions is False but actions were given")
        return None, None
    if camera_delta is None or gripper is None:
        raise DatasetError(f"{what}: has_actions is True but actions are missing")
    return checked_actions(camera_delta, gripper, meta.action_scale, what, DatasetError)


def read_with_hashes(folder: Path) -> tuple[Demonstration, tuple[str, ...]]:
    """One demonstration and the recorded SHA-256 of each of its frames.

    Raises:
        DatasetError: a file is missing or malformed; the message names it.
    """
    listed = read_checksums(folder, DatasetError)
    meta = _read_meta(folder / "meta.json", listed)
    path = folder / "frames.parquet"
    data = read_bytes(path, DatasetError)
    check_listed(data, path, listed, DatasetError)
    table = parse_table(data, path, DatasetError)
    for field in FRAME_COLUMNS:
        found = [str(have.type) for have in table.schema if have.name == field.name]
        if found != [str(field.type)]:
            raise DatasetError(
                f"{path}: column '{field.name}' must be {field.type}, found "
                f"{' and '.join(found) or 'none'}"
            )
        if table[field.name].null_count:
            raise DatasetError(f"{path}: column '{field.name}' has missing values")
    files = table["file"].to_pylist()
    expected = [f"frames/{index:06d}.jpg" for index in range(len(files))]
    if not files:
        raise DatasetError(f"{path}: no rows; a demonstration needs at least 1 frame")
    if files != expected or table["frame"].to_pylist() != list(range(len(files))):
        raise DatasetError(f"{path}: rows must be frames 0..{len(files) - 1} in order")
    delta = np.stack([table[axis].to_numpy() for axis in ("dx", "dy", "dz")], axis=1)
    gripper = table["gripper"].to_numpy()
    if meta.has_actions:
        _checked_actions(meta, delta, gripper, str(path))
    sizes = _file_sizes(folder / "frames")
    for index in range(len(files)):
        size = sizes.get(f"{index:06d}.jpg")
        if not size:
            state = "missing" if size is None else "empty"
            raise DatasetError(f"{folder / files[index]}: the frame's file is {state}")
    demonstration = Demonstration(
        meta=meta,
        frame_paths=tuple(folder / file for file in files),
        camera_delta=np.ascontiguousarray(delta, np.float32),
        gripper=np.ascontiguousarray(gripper, np.int8),
    )
    return demonstration, tuple(table["sha256"].to_pylist())


def _file_sizes(folder: Path) -> dict[str, int]:
    """Sizes of the regular files of a folder, by name."""
    sizes = {}
    if folder.is_dir():
        for entry in folder.iterdir():
            with suppress(OSError):  # a link to nothing is as good as missing
                found = entry.stat()
                if stat.S_ISREG(found.st_mode):
                    sizes[entry.name] = found.st_size
    return sizes


def _read_meta(path: Path, listed: dict[str, str] | None) -> DemonstrationMeta:
    if not os.path.lexists(path):
        raise DatasetError(f"{path}: missing; is this a folder of demonstrations?")
    data = read_bytes(path, DatasetError)
    check_listed(data, path, listed, DatasetError)
    meta = parse_model(data, path, DemonstrationMeta, DatasetError)
    if meta.schema_version != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: schema version {meta.schema_version}, this version reads {SCHEMA_VERSION}"
        )
    folder_name = path.parent.name
    if meta.name != folder_name:
        raise DatasetError(f"{path}: name '{meta.name}' differs from the folder's '{folder_name}'")
    return meta
