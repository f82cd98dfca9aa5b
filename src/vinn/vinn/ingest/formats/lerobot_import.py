"""Demonstrations from a LeRobotDataset v3.0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta, new_meta
from vinn.errors import DatasetError
from vinn.ingest.formats import lerobot_layout as layout
from vinn.ingest.formats.common import (
    GripperOrder,
    Imported,
    numbers,
    states_from_aperture,
    unit_or_zero,
)
from vinn.ingest.formats.lerobot_pictures import TOLERANCE_S, table_pictures, video_pictures
from vinn.ingest.formats.lerobot_tables import Rows, read_episodes, read_rows, read_tasks
from vinn.reading.documents import read_json

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
    info = read_json(root / layout.INFO, DatasetError)
    if not isinstance(info, dict) or info.get("codebase_version") != layout.CODEBASE_VERSION:
        version = info.get("codebase_version") if isinstance(info, dict) else None
        raise DatasetError(
            f"{root / layout.INFO}: codebase_version {version!r}; allowed: "
            f"{layout.CODEBASE_VERSION!r}"
        )
    camera = _camera(info, camera_key, root)
    fps = float(numbers(info.get("fps"), (), f"{root / layout.INFO}: fps"))
    if not 0.01 <= fps <= 1000:
        raise DatasetError(f"{root / layout.INFO}: fps = {fps:g}; allowed: 0.01 to 1000")
    own = _own(root) or []
    data, tasks = read_rows(root), read_tasks(root)
    episodes = read_episodes(root)
    if len(own) > len(episodes):
        raise DatasetError(
            f"{root / layout.OWN}: {len(own)} demonstrations, but {len(episodes)} episodes"
        )
    shown: dict[str, list[tuple[_Episode, float]]] = {}
    for row in episodes:
        episode = _Episode.read(row, camera, root)
        number, what = episode.number, f"{root}: episode {episode.number}"
        rows = data.of_episode(number, episode.length, what)
        action = numbers([data.action[i] for i in rows], (len(rows), 4), f"{what}: action")
        # Of a dataset that grew after the export only the first episodes are this project's.
        meta = own[number] if number < len(own) else None
        if meta is None:
            if gripper_order is None:
                raise DatasetError(f"{what}: say the gripper's direction with --gripper-order")
            states = states_from_aperture(action[:, 3], gripper_order)
            delta = unit_or_zero(action[:, :3]) if scale is ActionScale.UNIT else action[:, :3]
            meta = _meta(episode, camera, _tasks_of(episode, data, rows, tasks), fps, scale)
        else:
            states, delta = action[:, 3].astype(np.int64), action[:, :3]
        if episode.video is not None:
            end_s = episode.begin_s + float(data.timestamp_s(rows, what)[-1])
            others = shown.setdefault(episode.video, [])
            _refuse_overlap(episode, end_s, others, what)
            others.append((episode, end_s))
        yield Imported(meta, _pictures(root, camera, episode, data, rows, fps), delta, states)


def _refuse_overlap(
    episode: _Episode, end_s: float, others: list[tuple[_Episode, float]], what: str
) -> None:
    """Episodes of one video that share pictures: one of them begins at a wrong time."""
    for other, other_end_s in others:
        if episode.begin_s < other_end_s + TOLERANCE_S and other.begin_s < end_s + TOLERANCE_S:
            raise DatasetError(
                f"{what}: begins at {episode.begin_s:.4f} s of {episode.video}, where episode "
                f"{other.number} ends at {other_end_s:.4f} s: they would share pictures"
            )


def _pictures(
    root: Path, camera: _Camera, episode: _Episode, data: Rows, rows: NDArray[np.int64], fps: float
) -> Iterator[NDArray[np.uint8]]:
    """One picture for each row, found by the row's own time or number."""
    what = f"{root}: episode {episode.number}"
    if episode.video is None:
        files = [data.files[i] for i in np.unique(data.file[rows])]
        return table_pictures(files, camera.key, episode.number, data.frame_index[rows], what)
    stamps_s = episode.begin_s + data.timestamp_s(rows, what)
    return video_pictures(root / episode.video, stamps_s, fps, what)


@dataclass(frozen=True)
class _Camera:
    """A feature that is pictures: in a video, or in the table of the data."""

    key: str
    in_video: bool
    height_px: int
    width_px: int


@dataclass(frozen=True)
class _Episode:
    """A row of `meta/episodes`: how long, where in which video it is seen, and its tasks."""

    number: int
    length: int
    video: str | None
    begin_s: float
    tasks: tuple[str, ...]

    @classmethod
    def read(cls, row: dict[str, Any], camera: _Camera, root: Path) -> _Episode:
        try:
            number, length = int(row["episode_index"]), int(row["length"])
            tasks = tuple(str(task) for task in row["tasks"])
            video, begin_s = None, 0.0
            if camera.in_video:
                key = f"videos/{camera.key}"
                chunk, file = (int(row[f"{key}/{part}_index"]) for part in ("chunk", "file"))
                begin_s = float(row[f"{key}/from_timestamp"])
                video = f"{key}/chunk-{chunk:03d}/file-{file:03d}.mp4"
        except KeyError as cause:
            raise DatasetError(f"{root}: meta/episodes lacks the column {cause}") from cause
        except (TypeError, ValueError, OverflowError) as cause:
            raise DatasetError(f"{root}: meta/episodes: malformed row: {cause}") from cause
        if not 0 <= begin_s <= _LONGEST_S:
            raise DatasetError(f"{root}: episode {number} begins at {begin_s:g} s of its video")
        if not tasks:
            raise DatasetError(f"{root}: meta/episodes: episode {number} has no task")
        return cls(number, length, video, begin_s, tasks)


def _camera(info: dict[str, Any], wanted: str | None, root: Path) -> _Camera:
    features = info.get("features")
    found: dict[str, dict[str, Any]] = {}
    depth: list[str] = []
    for name, feature in features.items() if isinstance(features, dict) else ():
        if isinstance(feature, dict) and feature.get("dtype") in ("video", "image"):
            if _is_depth(feature):
                depth.append(str(name))
            elif "/" not in name and ".." not in name:
                found[name] = feature
    if wanted is None and len(found) == 1:
        (wanted,) = found
    if wanted is None or wanted not in found:
        also = f" (and depth, which is no picture: {', '.join(depth)})" if depth else ""
        raise DatasetError(
            f"{root}: say which camera with --camera; it has: {', '.join(found) or 'none'}{also}"
        )
    height, width = _size(found[wanted], wanted)
    return _Camera(wanted, found[wanted]["dtype"] == "video", height, width)


def _is_depth(feature: dict[str, Any]) -> bool:
    notes = [feature.get("info"), feature.get("video_info")]
    keys = ("is_depth_map", "video.is_depth_map")
    return any(isinstance(note, dict) and any(note.get(key) for key in keys) for note in notes)


def _size(feature: dict[str, Any], key: str) -> tuple[int, int]:
    """Height and width [px]; the three sides come in either order, `names` says which."""
    shape = numbers(feature.get("shape"), (3,), f"shape of {key}")
    names = feature.get("names")
    if isinstance(names, list) and names[:1] in (["channels"], ["channel"]):
        shape = shape[[1, 2, 0]]
    if not (1 <= shape[0] <= 8192 and 1 <= shape[1] <= 8192):
        raise DatasetError(f"shape of {key}: {shape.tolist()}; allowed: up to 8192 a side")
    return int(shape[0]), int(shape[1])


def _tasks_of(
    episode: _Episode, data: Rows, rows: NDArray[np.int64], names: dict[int, str]
) -> tuple[str, dict[str, Any]]:
    """The task, and for provenance which frames are of which task where there are several."""
    if len(episode.tasks) == 1:
        return episode.tasks[0], {}
    # The episode's own list is in no order: lerobot makes it from a set.
    found = None if data.task_index is None else data.task_index[rows].tolist()
    if found is None or any(index not in names for index in found):
        return "; ".join(sorted(episode.tasks)), {"tasks": sorted(episode.tasks)}
    order = list(dict.fromkeys(names[index] for index in found))
    notes = {"tasks": order, "task_of_frame": [order.index(names[index]) for index in found]}
    return "; ".join(order), notes


def _own(root: Path) -> list[DemonstrationMeta] | None:
    path = root / layout.OWN
    if not path.exists():
        return None
    content = read_json(path, DatasetError)
    try:
        return [DemonstrationMeta.model_validate(meta) for meta in content["demonstrations"]]
    except (KeyError, TypeError, ValidationError) as cause:
        reason = str(cause).splitlines()[0]
        raise DatasetError(f"{path}: not what this project wrote: {reason}") from cause


def _meta(
    episode: _Episode,
    camera: _Camera,
    task: tuple[str, dict[str, Any]],
    fps: float,
    scale: ActionScale,
) -> DemonstrationMeta:
    return new_meta(
        name=f"episode-{episode.number:06d}",
        task=task[0],
        camera=CameraInfo(name=camera.key, height_px=camera.height_px, width_px=camera.width_px),
        frame_rate_hz=fps,
        action_scale=scale,
        provenance={"tool": "vinn demos import", "format": "lerobot-v3", **task[1]},
    )
