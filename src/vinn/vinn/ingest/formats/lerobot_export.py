"""A dataset as LeRobotDataset v3.0, written with pyarrow and PyAV alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vinn.demos.files import atomic_directory
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.errors import DatasetError
from vinn.ingest.formats import lerobot_layout as layout
from vinn.ingest.formats.lerobot_statistics import pixel_levels, statistics

DEFAULT_FPS = 5


def export_lerobot(
    dataset: Dataset, out: Path, on_progress: Callable[[int], None] | None = None
) -> None:
    """Write all demonstrations with actions as episodes of one LeRobot dataset.

    An action is (dx, dy, dz, gripper): the translation in the camera's optical frame and the state
    0..3. The video is H.264 at 4:2:0, so frames lose a little; everything else is exact.

    Raises:
        DatasetError: `out` exists, no actions, frames of different sizes, or odd ones.
    """
    demonstrations = dataset.with_actions().demonstrations
    camera = demonstrations[0].meta.camera
    height, width = camera.height_px, camera.width_px
    for demonstration in demonstrations:
        other = demonstration.meta.camera
        if (other.height_px, other.width_px) != (height, width):
            raise DatasetError(
                f"{demonstration.meta.name}: frames are {other.width_px}x{other.height_px}, those "
                f"of {demonstrations[0].meta.name} are {width}x{height}; LeRobot wants one size"
            )
    if height % 2 or width % 2:
        raise DatasetError(f"{dataset.root}: frames of {width}x{height}; H.264 wants even sizes")
    rate = demonstrations[0].meta.frame_rate_hz
    fps = max(1, round(rate)) if rate else DEFAULT_FPS
    tasks = sorted({d.meta.task for d in demonstrations})
    lengths = [len(d) for d in demonstrations]
    action = np.concatenate(
        [np.hstack([d.camera_delta, d.gripper[:, None].astype(np.float32)]) for d in demonstrations]
    )
    task_index = [tasks.index(d.meta.task) for d in demonstrations]
    columns = _columns(action, lengths, task_index, fps)
    with atomic_directory(out, DatasetError) as folder:
        for name in (layout.EPISODES, layout.DATA, layout.VIDEO):
            (folder / name).parent.mkdir(parents=True)
        paths = [path for d in demonstrations for path in d.frame_paths]
        _write_video(folder / layout.VIDEO, paths, (height, width), fps, on_progress)
        pq.write_table(_data_table(columns), folder / layout.DATA)
        episodes, levels = [], np.zeros((256, 3), np.int64)
        for a, b in _spans(lengths):
            shown = pixel_levels(paths[a:b])
            levels += shown
            cut = {name: values[a:b] for name, values in columns.items()}
            episodes.append(statistics(cut, shown, b - a))
        pq.write_table(
            _episode_table([d.meta.task for d in demonstrations], lengths, fps, episodes),
            folder / layout.EPISODES,
        )
        pq.write_table(layout.tasks_table(tasks), folder / layout.TASKS)
        info = layout.info(len(lengths), len(action), len(tasks), fps, height, width)
        _write_json(folder / layout.INFO, info)
        _write_json(folder / layout.STATS, statistics(columns, levels, len(action)))
        own = {"demonstrations": [d.meta.model_dump(mode="json") for d in demonstrations]}
        _write_json(folder / layout.OWN, own)


def _spans(lengths: list[int]) -> list[tuple[int, int]]:
    ends = np.cumsum(lengths).tolist()
    return [(end - length, end) for end, length in zip(ends, lengths, strict=True)]


def _columns(
    action: NDArray[np.float32], lengths: list[int], task_index: list[int], fps: int
) -> dict[str, NDArray[Any]]:
    frame = np.concatenate([np.arange(length) for length in lengths])
    return {
        "action": action,
        "timestamp": (frame / fps).astype(np.float32),
        "frame_index": frame.astype(np.int64),
        "episode_index": np.repeat(np.arange(len(lengths)), lengths).astype(np.int64),
        "index": np.arange(len(frame), dtype=np.int64),
        "task_index": np.repeat(task_index, lengths).astype(np.int64),
    }


def _data_table(columns: dict[str, NDArray[Any]]) -> pa.Table:
    arrays = dict(columns)
    action = arrays.pop("action")
    flat = pa.array(action.ravel(), pa.float32())
    table = {"action": pa.FixedSizeListArray.from_arrays(flat, action.shape[1])}
    return pa.table(table | {name: pa.array(values) for name, values in arrays.items()})


def _episode_table(
    tasks: list[str], lengths: list[int], fps: int, stats: list[dict[str, Any]]
) -> pa.Table:
    count = len(lengths)
    spans = _spans(lengths)
    zeros = pa.array([0] * count, pa.int64())
    video = f"videos/{layout.CAMERA_KEY}"
    table = {
        "episode_index": pa.array(range(count), pa.int64()),
        "tasks": [[task] for task in tasks],
        "length": pa.array(lengths, pa.int64()),
        "data/chunk_index": zeros,
        "data/file_index": zeros,
        "dataset_from_index": pa.array([a for a, _ in spans], pa.int64()),
        "dataset_to_index": pa.array([b for _, b in spans], pa.int64()),
        f"{video}/chunk_index": zeros,
        f"{video}/file_index": zeros,
        f"{video}/from_timestamp": [a / fps for a, _ in spans],
        f"{video}/to_timestamp": [b / fps for _, b in spans],
        "meta/episodes/chunk_index": zeros,
        "meta/episodes/file_index": zeros,
    }
    for name in stats[0]:
        for kind in stats[0][name]:
            table[f"stats/{name}/{kind}"] = [episode[name][kind] for episode in stats]
    return pa.table(table)


def _write_video(
    path: Path,
    frames: list[Path],
    size: tuple[int, int],
    fps: int,
    on_progress: Callable[[int], None] | None,
) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        # Short groups of pictures: training reads single frames.
        stream.options = {"crf": "12", "g": "2", "bf": "0", "preset": "veryfast"}
        for index, frame_path in enumerate(frames):
            image = read_frame(frame_path)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            if on_progress is not None:
                on_progress(index + 1)
        container.mux(stream.encode())


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
