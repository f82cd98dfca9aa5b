"""The pictures of a LeRobot episode, each found by the time or the number of its row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vinn.demos.frames import decode_image
from vinn.errors import CameraError, DatasetError, ImageError
from vinn.ingest.video_frame import frame_rgb
from vinn.reading.regular import check_regular

TOLERANCE_S = 0.002
"""A row's time is 32 bits wide and a video's counts in ticks: both are off by less."""
_EARLIER_S = 1.0
_LARGEST_PX = 8192


def video_pictures(
    path: Path, stamps_s: NDArray[np.float64], fps: float, what: str
) -> Iterator[NDArray[np.uint8]]:
    """The picture at each of some times of a video, (H, W, 3) uint8 RGB.

    Args:
        path: the video.
        stamps_s: increasing times by the video's own clock [s].
        fps: as the dataset states it [Hz]; bounds how far a picture may be from its time.
        what: begins the errors.

    Raises:
        DatasetError: not a video, or it has no picture at one of the times; both are named.
    """
    check_regular(path, DatasetError)
    tolerance_s = min(TOLERANCE_S, 0.2 / fps)
    start = max(0.0, float(stamps_s[0]) - _EARLIER_S)
    try:
        # Seeking may land on a key frame whose predecessors cannot be decoded from there (open
        # groups of pictures), and some files are searched by guessing: then all is read.
        jump = start > 0 and _first_from(path, start) <= stamps_s[0] + tolerance_s
        yield from _matched(path, start if jump else 0.0, stamps_s, tolerance_s, what)
    except CameraError as cause:
        raise DatasetError(str(cause)) from cause
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as cause:
        raise DatasetError(f"{what}: {path}: cannot be read as a video") from cause


def _matched(
    path: Path, start_s: float, stamps_s: NDArray[np.float64], tolerance_s: float, what: str
) -> Iterator[NDArray[np.uint8]]:
    found, nearest_s = 0, math.nan
    with av.open(str(path)) as container:
        for frame in _from(container, start_s):
            if frame.time is None:
                raise DatasetError(f"{what}: {path}: a picture without a time")
            wanted_s = stamps_s[found]
            if not abs(nearest_s - wanted_s) < abs(frame.time - wanted_s):
                nearest_s = frame.time
            if frame.time < wanted_s - tolerance_s:
                continue
            if frame.time > wanted_s + tolerance_s:
                break
            yield frame_rgb(frame, f"{what}: {path}")
            found += 1
            if found == len(stamps_s):
                return
    nearest = f"the nearest picture is at {nearest_s:.4f} s" if nearest_s == nearest_s else "empty"
    raise DatasetError(
        f"{what}: frame {found} is at {stamps_s[found]:.4f} s of {path}, but {nearest}; allowed: "
        f"{tolerance_s:g} s apart"
    )


def _first_from(path: Path, start_s: float) -> float:
    """Time of the first picture after a jump; infinite where the file cannot do it."""
    try:
        with av.open(str(path)) as container:
            for frame in _from(container, start_s):
                return math.inf if frame.time is None else float(frame.time)
    except av.error.FFmpegError:
        pass
    return math.inf


def _from(container: Any, start_s: float) -> Iterator[Any]:
    stream = container.streams.video[0]
    if start_s > 0 and stream.time_base:
        container.seek(int(start_s / stream.time_base), stream=stream)
    yield from container.decode(stream)


def table_pictures(
    files: Sequence[Path], key: str, episode: int, numbers: NDArray[np.int64], what: str
) -> Iterator[NDArray[np.uint8]]:
    """Pictures that stand in the data's own table, (H, W, 3) uint8 RGB.

    Args:
        files: the Parquet files with the episode's rows.
        key: column of {bytes, path}.
        episode: its number.
        numbers: `frame_index` of the wanted rows, in order.
        what: begins the errors.

    Raises:
        DatasetError: a picture is missing, damaged, or not in the table.
    """
    encoded: dict[int, Any] = {}
    for path in files:
        encoded |= _cells(path, key, episode)
    for number in numbers.tolist():
        cell = encoded.get(number)
        data = cell.get("bytes") if isinstance(cell, dict) else None
        if not isinstance(data, bytes):
            where = cell.get("path") if isinstance(cell, dict) else None
            raise DatasetError(
                f"{what}: frame {number}: no picture in the table, column {key!r}"
                + (f" (it names {where!r})" if where else "")
            )
        try:
            yield decode_image(data, f"{what}: frame {number}", _LARGEST_PX)
        except ImageError as cause:
            raise DatasetError(str(cause)) from cause


def _cells(path: Path, key: str, episode: int) -> dict[int, Any]:
    """`frame_index` -> what the column holds there."""
    try:
        table = pq.read_table(
            path, columns=["frame_index", key], filters=[("episode_index", "=", episode)]
        )
        return dict(zip(table["frame_index"].to_pylist(), table[key].to_pylist(), strict=True))
    except (pa.ArrowException, OSError, ValueError, KeyError) as cause:
        raise DatasetError(f"{path}: no column {key!r} of pictures") from cause
