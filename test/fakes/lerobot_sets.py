"""LeRobot v3 datasets whose pictures say their own number, for the tests of the import."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from vinn.demos.frames import encode_jpeg
from vinn.ingest.formats.common import GripperOrder
from vinn.ingest.formats.lerobot_import import read_lerobot

KEY = "observation.images.wrist"
SIZE = (64, 96)
ACTION_STEP_M = 0.001
"""Action i goes so many times i to the right: it tells its row, and is no longer than a step."""


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Grey, its level four times the number."""
    return np.full((*size, 3), 10 + 4 * number, np.uint8)


def number_of(image: np.ndarray) -> int:
    return round((float(image.mean()) - 10) / 4)


@dataclass
class LeRobotSet:
    """What to write; an action's first entry is the number of its frame over all episodes."""

    lengths: Sequence[int]
    fps: int = 10
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"g": "2"})
    video_fps: int | None = None
    """Of the video, where it is not the table's."""
    missing: Sequence[int] = ()
    """Pictures that the video lacks; the others keep their times."""
    starts_s: Sequence[float] | None = None
    timestamps: Sequence[float] | None = None
    """The column, for all rows."""
    feature: dict[str, Any] | None = None
    table_pictures: Sequence[Any] | None = None
    """In place of a video: the cells of the column."""
    tasks: Sequence[Sequence[str]] | None = None
    """For each frame of each episode; None: one task."""

    def write(self, root: Path) -> Path:
        count, lengths = sum(self.lengths), list(self.lengths)
        ends = np.cumsum(lengths)
        begins = ends - lengths
        frame = np.concatenate([np.arange(length) for length in lengths])
        per_frame = self.tasks or [["open"] * length for length in lengths]
        names = sorted({task for tasks in per_frame for task in tasks})
        action = np.zeros((count, 4), np.float32)
        action[:, 0] = np.arange(count) * ACTION_STEP_M
        columns: dict[str, Any] = {
            "action": list(action),
            "timestamp": np.asarray(
                frame / self.fps if self.timestamps is None else self.timestamps, np.float32
            ),
            "frame_index": frame,
            "episode_index": np.repeat(np.arange(len(lengths)), lengths),
            "index": np.arange(count),
            "task_index": [names.index(task) for tasks in per_frame for task in tasks],
        }
        zeros = [0] * len(lengths)
        episodes: dict[str, Any] = {
            "episode_index": list(range(len(lengths))),
            # In no order, as lerobot makes it from a set.
            "tasks": [sorted(set(tasks), reverse=True) for tasks in per_frame],
            "length": lengths,
            "data/chunk_index": zeros,
            "data/file_index": zeros,
        }
        feature = {"dtype": "video", "shape": [*SIZE, 3], "names": ["height", "width", "channels"]}
        if self.table_pictures is None:
            self._write_video(root / f"videos/{KEY}/chunk-000/file-000.mp4", count)
            video = f"videos/{KEY}"
            starts = begins / self.fps if self.starts_s is None else np.asarray(self.starts_s)
            episodes |= {
                f"{video}/chunk_index": zeros,
                f"{video}/file_index": zeros,
                f"{video}/from_timestamp": starts.astype(float),
                f"{video}/to_timestamp": starts + np.asarray(lengths) / self.fps,
            }
        else:
            feature["dtype"] = "image"
            columns[KEY] = pa.array(
                list(self.table_pictures),
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            )
        feature |= self.feature or {}
        for folder in ("data/chunk-000", "meta/episodes/chunk-000"):
            (root / folder).mkdir(parents=True)
        pq.write_table(pa.table(columns), root / "data/chunk-000/file-000.parquet")
        pq.write_table(pa.table(episodes), root / "meta/episodes/chunk-000/file-000.parquet")
        tasks = pa.table({"task_index": range(len(names)), "task": names})
        pq.write_table(tasks, root / "meta/tasks.parquet")
        info = {
            "codebase_version": "v3.0",
            "fps": self.fps,
            "total_episodes": len(lengths),
            "total_frames": count,
            "features": {"action": {"dtype": "float32", "shape": [4]}, KEY: feature},
        }
        (root / "meta/info.json").write_text(json.dumps(info))
        return root

    def _write_video(self, path: Path, count: int) -> None:
        path.parent.mkdir(parents=True)
        rate = self.video_fps or self.fps
        every = rate // self.fps
        with _own_scheduling(), av.open(str(path), "w") as container:
            stream = container.add_stream(self.codec, rate=rate)
            stream.height, stream.width = SIZE
            stream.pix_fmt = "yuv420p"
            stream.options = self.options
            for number in range(count * every):
                if number in self.missing:
                    continue
                shown = av.VideoFrame.from_ndarray(
                    picture(number // every) if number % every == 0 else picture(50), format="rgb24"
                )
                shown.pts, shown.time_base = number, Fraction(1, rate)
                container.mux(stream.encode(shown))
            container.mux(stream.encode())


@contextmanager
def _own_scheduling() -> Iterator[None]:
    """SVT-AV1 takes real-time priority for root and keeps it: see findings/."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)


def cells(count: int) -> list[Any]:
    """Pictures as a table holds them."""
    return [{"bytes": encode_jpeg(picture(i)), "path": f"frame_{i:06d}.jpg"} for i in range(count)]


def offsets(root: Path, order: GripperOrder = GripperOrder.OPEN_LOW) -> list[list[int]]:
    """Per episode and frame: the picture's number minus that of the action beside it."""
    found = []
    for episode in read_lerobot(root, None, order):
        images = [number_of(image) for image in episode.frames_rgb]
        assert episode.camera_delta is not None
        actions = (episode.camera_delta[:, 0] / ACTION_STEP_M).round().astype(int).tolist()
        assert len(images) == len(actions)
        found.append([image - action for image, action in zip(images, actions, strict=True)])
    return found
