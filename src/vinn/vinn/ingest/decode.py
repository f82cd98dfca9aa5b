"""Video in: what a file is, and its frames sampled at a rate, one at a time (bounded memory)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from vinn.errors import CameraError
from vinn.ingest.sample_times import slot_of
from vinn.ingest.video_frame import frame_rgb

_WORTH_A_JUMP_S = 5.0


@dataclass(frozen=True)
class VideoInfo:
    """A video stream's size after rotation [px], rate [Hz] and duration [s] (0 if unknown)."""

    width_px: int
    height_px: int
    frame_rate_hz: float
    duration_s: float


@dataclass(frozen=True)
class SampledFrame:
    """One frame of a video.

    Attributes:
        slot: which sample time it answers, counted from 0; a gap in the file skips slots.
        time_s: its own time since the first frame [s].
        image_rgb: (H, W, 3) uint8 RGB.
    """

    slot: int
    time_s: float
    image_rgb: NDArray[np.uint8]


def probe_video(path: Path) -> VideoInfo:
    """Open a video and decode its first frame.

    Raises:
        CameraError: not a video, damaged, or without a frame; the message names the file.
    """
    with _open(Path(path)) as (container, stream):
        for frame in _frames(Path(path), container, stream):
            image = frame_rgb(frame, str(path))
            rate = float(stream.average_rate or stream.base_rate or 0)
            if not rate > 0:
                raise CameraError(f"{path}: the video states no frame rate")
            if container.duration:
                duration_s = container.duration / 1e6
            else:
                duration_s = float((stream.duration or 0) * (stream.time_base or 0))
            return VideoInfo(image.shape[1], image.shape[0], rate, duration_s)
    raise CameraError(f"{path}: the video has no frames")


def sample_frames(
    path: Path, rate_hz: float, start_s: float = 0.0, end_s: float = float("inf")
) -> Iterator[SampledFrame]:
    """Yield, for each time start, start + 1 / rate, ... < end, the first frame at or after it.

    Time stamps are rounded: `sample_times.slot_of` says how far a frame may lie before the time it
    answers. A frame is yielded once, for the latest sample time it can answer.

    Raises:
        CameraError: not a video, damaged at its head, or without a frame in the range.
    """
    path = Path(path)
    found = False
    with _open(path) as (container, stream):
        source_rate = float(stream.average_rate or stream.base_rate or 30.0)
        wanted = 0
        frames = _timed_frames(path, container, stream, source_rate, start_s)
        for time_s, gap_s, frame in _with_gaps(frames):
            if time_s >= end_s:
                break
            slot = slot_of(time_s - start_s, gap_s, rate_hz)
            if slot < wanted:
                continue
            wanted = slot + 1
            found = True
            yield SampledFrame(slot, time_s, frame_rgb(frame, str(path)))
    if not found:
        raise CameraError(f"{path}: no frame between {start_s:g} s and {end_s:g} s")


def _with_gaps(frames: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, float, Any]]:
    """Each frame with the time to its nearer neighbour [s]; infinite for a single one."""
    before_s = float("-inf")
    held: tuple[float, Any] | None = None
    for time_s, frame in frames:
        if held is not None:
            yield held[0], min(held[0] - before_s, time_s - held[0]), held[1]
            before_s = held[0]
        held = (time_s, frame)
    if held is not None:
        yield held[0], held[0] - before_s, held[1]


def _timed_frames(
    path: Path, container: Any, stream: Any, source_rate: float, start_s: float
) -> Iterator[tuple[float, Any]]:
    """Frames and their time since the first one [s]; many of those before `start_s` are skipped.

    So the end of an hour-long recording is reached at once, where the file says when its frames
    are and can be searched; else it is read from its start.
    """
    first_s: float | None = None
    for index, frame in enumerate(_frames(path, container, stream)):
        stamp_s = frame.time if frame.time is not None else index / source_rate
        if first_s is None:
            first_s = stamp_s
            if frame.time is not None and _jumped(container, stream, first_s + start_s):
                break
        yield stamp_s - first_s, frame
    else:
        return
    late = True
    for frame in _frames(path, container, stream):
        if frame.time is None or (late and frame.time - first_s > start_s):
            break
        late = False
        yield frame.time - first_s, frame
    if late:
        # Some formats are searched by guessing, and this one was led astray: read all.
        with _open(path) as (again, its_stream):
            yield from _timed_frames(path, again, its_stream, source_rate, 0.0)


def _jumped(container: Any, stream: Any, time_s: float) -> bool:
    """Go to the last key frame before a time; False if it is near or the file cannot do it."""
    if time_s < _WORTH_A_JUMP_S:
        return False
    try:
        container.seek(int((time_s - 0.5) / float(stream.time_base)), stream=stream)
    except (av.error.FFmpegError, OSError):
        return False
    return True


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    if not path.is_file():
        raise CameraError(f"{path}: no such video file")
    if path.stat().st_size == 0:
        raise CameraError(f"{path}: the file is empty")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as cause:
        raise CameraError(f"{path}: not a video that can be read ({_reason(cause)})") from cause
    try:
        if not container.streams.video:
            raise CameraError(f"{path}: the file has no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream
    finally:
        container.close()


def _frames(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames; damage after the first frame ends the video, before it is an error."""
    count = 0
    try:
        for frame in container.decode(stream):
            count += 1
            yield frame
    except (av.error.FFmpegError, OSError) as cause:
        if count == 0:
            raise CameraError(f"{path}: the video is damaged ({_reason(cause)})") from cause
        raise CameraError(
            f"{path}: the video is damaged after frame {count} ({_reason(cause)})"
        ) from cause


def _reason(cause: BaseException) -> str:
    return (getattr(cause, "strerror", None) or str(cause)).splitlines()[0]
