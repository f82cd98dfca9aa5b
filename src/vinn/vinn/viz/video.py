"""H.264 videos that play in browsers, written atomically."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_path
from vinn.errors import ImageError


class VideoWriter:
    """Write RGB frames to an mp4 (H.264, yuv420p); the file appears under its name when complete.

    Use as a context manager: leaving it by an exception removes the unfinished file.

    Args:
        path: where the mp4 goes; its directory is made.
        fps: frames per second.
        crf: constant rate factor, smaller is better and larger.
    """

    def __init__(self, path: Path, fps: float, crf: int = 26) -> None:
        self.path = path
        self._whole = ExitStack()
        partial = self._whole.enter_context(atomic_path(path))
        # faststart puts the index first, so that a browser can play while it loads
        self._container = av.open(
            str(partial), "w", format="mp4", options={"movflags": "faststart"}
        )
        stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        self._stream = stream
        self._shape: tuple[int, int] | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._whole:
            if kind is None and self._shape is not None:
                for packet in self._stream.encode():
                    self._container.mux(packet)
            self._container.close()
            if error is not None:
                raise error
            if self._shape is None:
                raise ImageError(f"{self.path}: a video needs at least one frame")

    def add(self, frame_rgb: NDArray[np.uint8]) -> None:
        """Append one frame, (H, W, 3) uint8 RGB; an odd last row or column is dropped.

        Raises:
            ImageError: wrong type or shape, or another size than the first frame.
        """
        if frame_rgb.ndim != 3 or frame_rgb.shape[2] != 3 or frame_rgb.dtype != np.uint8:
            raise ImageError(
                f"video frame is {frame_rgb.shape} {frame_rgb.dtype}, must be (H, W, 3) uint8"
            )
        height, width = (side // 2 * 2 for side in frame_rgb.shape[:2])  # yuv420p halves colour
        if self._shape is None:
            if not height or not width:
                raise ImageError(f"video frame is {frame_rgb.shape}, must be at least 2 x 2")
            self._shape = (height, width)
            self._stream.height, self._stream.width = height, width
        elif self._shape != (height, width):
            raise ImageError(
                f"video frame is {width}x{height}, the first was {self._shape[1]}x{self._shape[0]}"
            )
        even = np.ascontiguousarray(frame_rgb[:height, :width])
        for packet in self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")):
            self._container.mux(packet)


def write_video(
    path: Path, frames_rgb: Iterable[NDArray[np.uint8]], fps: float, crf: int = 26
) -> Path:
    """Write all frames to an mp4 and return its path.

    Raises:
        ImageError: no frames, or frames of different sizes.
    """
    with VideoWriter(path, fps, crf) as writer:
        for frame in frames_rgb:
            writer.add(frame)
    return path
