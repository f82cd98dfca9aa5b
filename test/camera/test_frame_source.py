"""V4L2 through OpenCV, over a capture that is faked: what is asked, what is refused, stamps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from vinn.errors import CameraError
from vinn.ingest.frame_source import open_source


class FakeCapture:
    """`cv2.VideoCapture` of a webcam that knows 640x480 only."""

    opened = True
    grabs = True
    waited_s = 0.04
    asked: ClassVar[list[tuple[int, float]]] = []

    def __init__(self, path: str, api: int) -> None:
        self.path, self.api = path, api
        type(self).asked = []

    def isOpened(self) -> bool:
        return type(self).opened

    def set(self, key: int, value: float) -> bool:
        type(self).asked.append((key, value))
        return True

    def get(self, key: int) -> float:
        if key == cv2.CAP_PROP_POS_MSEC:
            return (time.monotonic() - type(self).waited_s) * 1e3
        return {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}[key]

    def grab(self) -> bool:
        return type(self).grabs

    def retrieve(self) -> tuple[bool, Any]:
        image = np.zeros((480, 640, 3), np.uint8)
        image[..., 0] = 200  # blue in OpenCV's order
        return True, image

    def release(self) -> None:
        pass


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    class Capture(FakeCapture):
        pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    return Capture


DEVICE = "/dev/null"
"""Any device file that is always there."""


def test_the_format_is_asked_for_before_size_and_rate(capture: type[FakeCapture]) -> None:
    open_source(DEVICE, 640, 480, 30.0, "MJPG")
    keys = [key for key, _ in capture.asked]
    assert keys == [
        cv2.CAP_PROP_BUFFERSIZE,
        cv2.CAP_PROP_FOURCC,
        cv2.CAP_PROP_FRAME_WIDTH,
        cv2.CAP_PROP_FRAME_HEIGHT,
        cv2.CAP_PROP_FPS,
    ]
    assert dict(capture.asked)[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")


def test_frames_are_rgb_and_stamped_when_they_were_captured(capture: type[FakeCapture]) -> None:
    source = open_source(DEVICE, 0, 0, 30.0)
    before_ns = time.time_ns()
    frame = source.read()
    after_ns = time.time_ns()
    assert frame is not None
    assert frame[0][0, 0].tolist() == [0, 0, 200]
    # Captured 40 ms before it was handed over.
    assert before_ns - 45_000_000 <= frame[1] <= after_ns - 39_000_000


@pytest.mark.parametrize("waited_s", [-1e6, 30.0])
def test_a_driver_that_stamps_by_another_clock_is_not_believed(
    capture: type[FakeCapture], waited_s: float
) -> None:
    capture.waited_s = waited_s
    before_ns = time.time_ns()
    frame = open_source(DEVICE, 0, 0, 30.0).read()
    assert frame is not None
    assert frame[1] >= before_ns


def test_what_the_camera_cannot_do_is_refused(capture: type[FakeCapture]) -> None:
    with pytest.raises(CameraError, match="gives 640x480; wanted: 1280x720"):
        open_source(DEVICE, 1280, 720, 30.0)
    with pytest.raises(CameraError, match="pixel_format"):
        open_source(DEVICE, 0, 0, 30.0, "MJPEG")
    capture.opened = False
    with pytest.raises(CameraError, match="cannot be opened"):
        open_source(DEVICE, 0, 0, 30.0)


def test_a_camera_that_vanishes_is_an_error_and_never_an_old_frame(
    capture: type[FakeCapture],
) -> None:
    source = open_source(DEVICE, 0, 0, 30.0)
    assert source.read() is not None
    capture.grabs = False
    with pytest.raises(CameraError, match="gives no frame"):
        source.read()


def test_a_folder_knows_how_many_it_has(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((4, 4, 3), np.uint8))
    assert open_source(str(tmp_path), 0, 0, 1.0).frame_count == 3
