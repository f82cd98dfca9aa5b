"""Where frames come from: a V4L2 camera, a video file, a folder of images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.errors import CameraError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_BY_ID = Path("/dev/v4l/by-id")
_LONGEST_WAIT_NS = 1_000_000_000
"""A frame that claims to have waited longer in the driver is stamped by another clock."""


class FrameSource(Protocol):
    """One opened source. One thread uses it."""

    live: bool
    """A camera: frames come when they come, and it may come back after it was lost."""
    frame_count: int
    """How many frames a file or folder has; 0: unknown, or no end."""

    def read(self) -> tuple[NDArray[np.uint8], int] | None:
        """The next frame (H, W, 3) uint8 RGB and when it was captured [ns since the epoch].

        None: the source has ended. Each frame is given once.

        Raises:
            vinn.errors.CameraError: the camera is gone, or a file is damaged.
        """

    def close(self) -> None:
        """Let go of the device or file."""


def open_source(
    source: str, width_px: int, height_px: int, rate_hz: float, pixel_format: str = ""
) -> FrameSource:
    """Open what `source` names: a device under /dev, a video file, or a folder of images.

    Args:
        source: a path; cameras by their stable name under /dev/v4l/by-id.
        width_px: wanted of a camera; 0: as it is.
        height_px: wanted of a camera; 0: as it is.
        rate_hz: wanted of a camera.
        pixel_format: wanted of a camera, four letters such as MJPG or YUYV; empty: as it is.

    Raises:
        vinn.errors.CameraError: there is none, or it cannot be opened.
    """
    if not source:
        raise CameraError(
            f"source: empty; allowed: a camera ({_cameras()}), a video file or a folder of images"
        )
    path = Path(source)
    if str(path).startswith("/dev/"):
        return _Camera(path, width_px, height_px, rate_hz, pixel_format)
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return _Video(path)
    raise CameraError(f"source: {source}: no such camera, file or folder; cameras: {_cameras()}")


def cameras() -> tuple[str, ...]:
    """The cameras that are plugged in, by stable name."""
    return tuple(sorted(str(path) for path in _BY_ID.glob("*"))) if _BY_ID.is_dir() else ()


def _cameras() -> str:
    return ", ".join(cameras()) or f"none under {_BY_ID}"


class _Camera:
    """A V4L2 device."""

    live = True

    frame_count = 0

    def __init__(
        self, path: Path, width_px: int, height_px: int, rate_hz: float, pixel_format: str
    ) -> None:
        if pixel_format and (len(pixel_format) != 4 or not pixel_format.isascii()):
            raise CameraError(
                f"pixel_format: {pixel_format!r}; allowed: four letters, e.g. MJPG, YUYV, or empty"
            )
        if not path.exists():
            raise CameraError(f"source: {path}: no such camera; plugged in: {_cameras()}")
        self._path = path
        # Stable names are links; OpenCV wants the device itself.
        self._capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraError(f"source: {path}: cannot be opened as a camera")
        # One buffer: an older frame is of no use.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        # The format first: which sizes and rates there are depends on it.
        if pixel_format:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*pixel_format))
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, width_px),
            (cv2.CAP_PROP_FRAME_HEIGHT, height_px),
            (cv2.CAP_PROP_FPS, rate_hz),
        ):
            if value > 0:
                self._capture.set(key, value)
        got = [
            round(self._capture.get(key))
            for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        ]
        wanted = [width_px or got[0], height_px or got[1]]
        if got != wanted:
            self.close()
            raise CameraError(
                f"source: {path}: gives {got[0]}x{got[1]}; wanted: {wanted[0]}x{wanted[1]} "
                "(v4l2-ctl --list-formats-ext names its sizes)"
            )

    def read(self) -> tuple[NDArray[np.uint8], int] | None:
        """See `FrameSource`; stamped by the driver, or when it hands the frame over."""
        if not self._capture.grab():
            raise CameraError(f"source: {self._path}: the camera gives no frame")
        stamp_ns = time.time_ns() - self._waited_ns()
        good, image_bgr = self._capture.retrieve()
        if not good:
            raise CameraError(f"source: {self._path}: a frame cannot be decoded")
        return _rgb(image_bgr), stamp_ns

    def _waited_ns(self) -> int:
        """How long ago the frame just grabbed was captured, as V4L2 says (monotonic clock); 0 where
        the driver stamps by another clock, or not at all.
        """
        captured_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        waited_ns = time.monotonic_ns() - round(captured_ms * 1e6)
        return waited_ns if captured_ms > 0 and 0 <= waited_ns < _LONGEST_WAIT_NS else 0

    def close(self) -> None:
        """See `FrameSource`."""
        self._capture.release()


class _Video:
    """A video file, frame by frame."""

    live = False

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise CameraError(f"source: {path}: cannot be read as a video")
        self.frame_count = max(0, round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def read(self) -> tuple[NDArray[np.uint8], int] | None:
        """See `FrameSource`; a file's frame is captured when it is read."""
        good, image_bgr = self._capture.read()
        return (_rgb(image_bgr), time.time_ns()) if good else None

    def close(self) -> None:
        """See `FrameSource`."""
        self._capture.release()


class _Folder:
    """The images of a folder, by name."""

    live = False

    def __init__(self, path: Path) -> None:
        paths = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise CameraError(f"source: {path}: no images ({', '.join(IMAGE_SUFFIXES)})")
        self.frame_count = len(paths)
        self._paths: Iterator[Path] = iter(paths)

    def read(self) -> tuple[NDArray[np.uint8], int] | None:
        """See `FrameSource`; a file's frame is captured when it is read."""
        path = next(self._paths, None)
        if path is None:
            return None
        stamp_ns = time.time_ns()
        image_bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image_bgr is None:
            raise CameraError(f"source: {path}: cannot be decoded as an image")
        return _rgb(image_bgr), stamp_ns

    def close(self) -> None:
        """See `FrameSource`."""


def _rgb(image_bgr: Any) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
