"""Demonstrations from a LeRobotDataset v3.0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import DatasetError
from vinn.ingest.formats import lerobot_layout as layout
from vinn.ingest.formats.common import (
    GripperOrder,
    Imported,
    numbers,
    read_json,
    states_from_aperture,
    unit_or_zero,
)

_LONGEST_S = 1e7


def read_lerobot(
    root: Path,
    camera_key: str | None,
    gripper_order: GripperOrder | None,
    scale: ActionScale = ActionScale.METRIC,
) -> Iterator[Imported]:
    """Every episode. Actions are (dx, dy, dz, gripper) in the camera's optical frame.

    Args:
        root: folder with `meta/info.json`.
        camera_key: which camera; None takes the only one.
        gripper_order: of the last action, 0..1, for datasets that this project did not export.
        scale: unit of the actions of such datasets.

    Raises:
        DatasetError: another version, damaged, or actions of another shape.
    """
    info = read_json(root / layout.INFO)
    if not isinstance(info, dict) or info.get("codebase_version") != layout.CODEBASE_VERSION:
        version = info.get("codebase_version") if isinstance(info, dict) else None
        raise DatasetError(
            f"{root / layout.INFO}: codebase_version {version!r}; allowed: "
            f"{layout.CODEBASE_VERSION!r}"
        )
    key = _camera_key(info, camera_key, root)
    fps = float(numbers(info.get("fps"), (), f"{root / layout.INFO}: fps"))
    if not 0.01 <= fps <= 1000:
        raise DatasetError(f"{root / layout.INFO}: fps = {fps:g}; allowed: 0.01 to 1000")
    own = _own(root)
    data = _table(_files(root, "data", "parquet"))
    episodes = _table(_files(root, "meta/episodes", "parquet")).to_pylist()
    if own is not None and len(own) != len(episodes):
        raise DatasetError(
            f"{root / layout.OWN}: {len(own)} demonstrations, but {len(episodes)} episodes"
        )
    try:
        index = data["episode_index"].to_numpy()
        order = data["frame_index"].to_numpy()
        actions = data["action"].to_pylist()
    except (KeyError, pa.ArrowException) as cause:
        raise DatasetError(f"{root}: data lacks the column {cause}") from cause
    for row in episodes:
        episode = _Episode.read(row, key, root)
        number, what = episode.number, f"{root}: episode {episode.number}"
        rows = np.flatnonzero(index == number)
        rows = rows[np.argsort(order[rows])]
        if len(rows) == 0:
            raise DatasetError(f"{what}: no frames")
        action = numbers([actions[i] for i in rows], (len(rows), 4), f"{what}: action")
        meta = own[number] if own is not None and number < len(own) else None
        if meta is None:
            if gripper_order is None:
                raise DatasetError(f"{what}: say the gripper's direction with --gripper-order")
            states = states_from_aperture(action[:, 3], gripper_order)
            delta = unit_or_zero(action[:, :3]) if scale is ActionScale.UNIT else action[:, :3]
            meta = _meta(episode, key, info, fps, scale)
        else:
            states, delta = action[:, 3].astype(np.int64), action[:, :3]
        video = root / episode.video
        yield Imported(meta, _frames(video, episode.begin_s, len(rows), fps), delta, states)


@dataclass(frozen=True)
class _Episode:
    """A row of `meta/episodes`: where in which video it is seen, and its task."""

    number: int
    video: str
    begin_s: float
    task: str

    @classmethod
    def read(cls, row: dict[str, Any], key: str, root: Path) -> _Episode:
        try:
            number = int(row["episode_index"])
            chunk, file = (int(row[f"videos/{key}/{part}_index"]) for part in ("chunk", "file"))
            begin_s = float(row[f"videos/{key}/from_timestamp"])
            task = str(row["tasks"][0])
        except KeyError as cause:
            raise DatasetError(f"{root}: meta/episodes lacks the column {cause}") from cause
        except (IndexError, TypeError, ValueError, OverflowError) as cause:
            raise DatasetError(f"{root}: meta/episodes: malformed row: {cause}") from cause
        if not 0 <= begin_s <= _LONGEST_S:
            raise DatasetError(f"{root}: episode {number} begins at {begin_s:g} s of its video")
        video = f"videos/{key}/chunk-{chunk:03d}/file-{file:03d}.mp4"
        return cls(number, video, begin_s, task)


def _camera_key(info: dict[str, Any], wanted: str | None, root: Path) -> str:
    features = info.get("features")
    found = [
        name
        for name, feature in (features.items() if isinstance(features, dict) else ())
        if isinstance(feature, dict) and feature.get("dtype") == "video"
    ]
    if wanted is not None and wanted in found:
        return wanted
    if wanted is None and len(found) == 1 and "/" not in found[0] and ".." not in found[0]:
        return str(found[0])
    raise DatasetError(
        f"{root}: say which camera with --camera; it has: {', '.join(map(str, found)) or 'none'}"
    )


def _own(root: Path) -> list[DemonstrationMeta] | None:
    path = root / layout.OWN
    if not path.exists():
        return None
    content = read_json(path)
    try:
        return [DemonstrationMeta.model_validate(meta) for meta in content["demonstrations"]]
    except (KeyError, TypeError, ValidationError) as cause:
        reason = str(cause).splitlines()[0]
        raise DatasetError(f"{path}: not what this project wrote: {reason}") from cause


def _meta(
    episode: _Episode, key: str, info: dict[str, Any], fps: float, scale: ActionScale
) -> DemonstrationMeta:
    shape = numbers(info["features"][key].get("shape"), (3,), f"shape of {key}")
    if not (1 <= shape[0] <= 8192 and 1 <= shape[1] <= 8192):
        raise DatasetError(f"shape of {key}: {shape.tolist()}; allowed: up to 8192 a side")
    return DemonstrationMeta(
        name=f"episode-{episode.number:06d}",
        task=episode.task,
        camera=CameraInfo(name=key, height_px=int(shape[0]), width_px=int(shape[1])),
        frame_rate_hz=fps,
        action_scale=scale,
        provenance={"tool": "vinn demos import", "format": "lerobot-v3"},
    )


def _files(root: Path, folder: str, ending: str) -> list[Path]:
    found = sorted((root / folder).glob(f"chunk-*/file-*.{ending}"))
    if not found:
        raise DatasetError(f"{root / folder}: no chunk-*/file-*.{ending} in it")
    return found


def _table(paths: list[Path]) -> pa.Table:
    tables = [_read_table(path) for path in paths]
    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as cause:
        raise DatasetError(f"{paths[0]}: tables of this folder do not fit together") from cause


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as cause:
        raise DatasetError(f"{path}: malformed or truncated Parquet file") from cause


def _frames(path: Path, begin_s: float, count: int, fps: float) -> Iterator[NDArray[np.uint8]]:
    """`count` frames from `begin_s` on."""
    given = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if begin_s > 0 and stream.time_base:
                container.seek(int(begin_s / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                # Half a frame of slack: time stamps are rounded.
                if frame.time is None or frame.time < begin_s - 0.5 / fps:
                    continue
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                given += 1
                if given == count:
                    return
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as cause:
        raise DatasetError(f"{path}: cannot be read as a video") from cause
    raise DatasetError(f"{path}: {given} frames from {begin_s:g} s on, {count} expected")
