"""The camera node over a fake device that raises, vanishes and comes back."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from vinn.errors import CameraError
from vinn.ingest.lenses.camera_profile import find_profile
from vinn.ingest.lenses.intrinsics import intrinsics_json

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")
from diagnostic_msgs.msg import DiagnosticArray
from ros_harness import ros_context
from sensor_msgs.msg import CameraInfo, CompressedImage
from vinn_ros.camera import node as wrist_camera
from vinn_ros.conversions import decompress, to_nanoseconds
from vinn_ros.node import qos

pytestmark = pytest.mark.ros

FISHEYE = find_profile("sim_fisheye", ()).lens


class FakeDevice:
    """A webcam that can be unplugged: `opened` counts how often it was opened."""

    live = True
    frame_count = 0
    plugged = True
    opened: ClassVar[list[float]] = []
    asked: tuple[Any, ...] = ()

    def __init__(self, *asked: Any) -> None:
        type(self).asked = asked
        type(self).opened.append(time.monotonic())
        if not type(self).plugged:
            raise CameraError("source: /dev/v4l/by-id/fake: no such camera")
        self._grey = itertools.cycle(range(60, 200))

    def read(self) -> tuple[NDArray[np.uint8], int]:
        time.sleep(0.02)  # the device's own pace, 50 frames a second
        if not type(self).plugged:
            raise CameraError("source: /dev/v4l/by-id/fake: the camera gives no frame")
        return np.full((480, 640, 3), next(self._grey), np.uint8), time.time_ns()

    def close(self) -> None:
        pass


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[FakeDevice]:
    class Device(FakeDevice):
        opened: ClassVar[list[float]] = []

    monkeypatch.setattr(wrist_camera, "open_source", Device)
    return Device


def start(ros: Any, *parameters: str) -> Any:
    arguments = ["--ros-args", "-p", "source:=/dev/v4l/by-id/fake"]
    for parameter in parameters:
        arguments += ["-p", parameter]
    return ros.add(wrist_camera.WristCameraNode(arguments))


def test_a_camera_that_vanishes_comes_back_and_nothing_is_republished(
    device: type[FakeDevice],
) -> None:
    with ros_context() as ros:
        frames = ros.listen(CompressedImage, "wrist_camera/image_raw/compressed", qos.RECORD)
        diagnoses = ros.listen(DiagnosticArray, "/diagnostics")
        start(ros)
        ros.wait_for(lambda: len(frames) >= 5)
        device.plugged = False
        ros.wait_for(lambda: any("CAMERA_STALE" in array.status[0].message for array in diagnoses))
        ros.wait_for(lambda: len(device.opened) >= 4)
        _, first, second, third = device.opened[:4]
        seen = len(frames)
        # Ever more patient; a busy machine only makes the pauses longer.
        assert second - first >= 0.49
        assert third - second >= 0.99
        assert len(frames) == seen
        device.plugged = True
        ros.wait_for(lambda: len(frames) >= seen + 5)
        stamps = [to_nanoseconds(frame.header.stamp) for frame in frames]
        assert stamps == sorted(set(stamps))
        ros.wait_for(lambda: diagnoses[-1].status[0].message == "active")
        assert {v.key: v.value for v in diagnoses[-1].status[0].values}["reconnections"] == "1"


def test_a_camera_that_is_not_there_is_found_out_at_once(device: type[FakeDevice]) -> None:
    device.plugged = False
    with ros_context() as ros:
        node = wrist_camera.WristCameraNode(["--ros-args", "-p", "source:=/dev/v4l/by-id/fake"])
        ros.executor.add_node(node)
        assert not node.bring_up()
        assert "no such camera" in node.refusal
        node.take_down()


def test_format_size_and_rate_are_asked_of_the_device(device: type[FakeDevice]) -> None:
    with ros_context() as ros:
        start(ros, "width_px:=1280", "height_px:=720", "rate_hz:=30.0", "pixel_format:=MJPG")
        assert device.asked == ("/dev/v4l/by-id/fake", 1280, 720, 30.0, "MJPG")


def test_frames_are_undistorted_as_the_profile_says(
    device: type[FakeDevice], tmp_path: Path
) -> None:
    profile = tmp_path / "webcam.json"
    profile.write_text(intrinsics_json(FISHEYE, rms_px=0.2, views=20))
    with ros_context() as ros:
        frames = ros.listen(CompressedImage, "wrist_camera/image_raw/compressed", qos.RECORD)
        infos = ros.listen(CameraInfo, "wrist_camera/camera_info")
        start(ros, f"camera_profile:={profile}")
        ros.wait_for(lambda: frames and infos)
        image = decompress(frames[-1], 4096)
        assert image.shape == (480, 640, 3)
        info = infos[-1]
        assert (info.width, info.height, info.distortion_model) == (640, 480, "plumb_bob")
        # 90 degrees across, as the profile's default output.
        assert info.k[0] == pytest.approx(320.0, abs=0.1)


def test_a_crop_is_cut_out(device: type[FakeDevice]) -> None:
    with ros_context() as ros:
        frames = ros.listen(CompressedImage, "wrist_camera/image_raw/compressed", qos.RECORD)
        start(ros, "crop:=0.125,0.0,0.875,1.0")
        ros.wait_for(lambda: frames)
        assert decompress(frames[-1], 4096).shape == (480, 480, 3)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (("crop:=0.5,0.5,0.4,1.0",), "crop"),
        (("crop:=left",), "crop"),
        (("camera_profile:=no_such_lens",), "no_such_lens"),
        (("camera_profile:=sim_fisheye", "crop:=0.0,0.0,0.5,1.0"), "sim_fisheye"),
    ],
)
def test_what_does_not_fit_is_refused(
    device: type[FakeDevice], parameters: tuple[str, ...], says: str
) -> None:
    with ros_context() as ros:
        arguments = ["--ros-args", "-p", "source:=/dev/v4l/by-id/fake"]
        for parameter in parameters:
            arguments += ["-p", parameter]
        node = wrist_camera.WristCameraNode(arguments)
        ros.executor.add_node(node)
        assert not node.bring_up()
        assert says in node.refusal
        node.take_down()
