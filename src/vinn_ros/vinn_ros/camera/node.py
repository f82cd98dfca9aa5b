"""The wrist camera: every frame once, stamped when it was captured."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vinn.errors import ConfigError, VinnError
from vinn.ingest.frame_source import FrameSource, open_source
from vinn.ingest.lenses.camera_profile import CameraProfile, find_profile
from vinn.ingest.lenses.frame_view import FrameView, parse_crop
from vinn.ingest.lenses.lens import Lens
from vinn.reading.documents import read_yaml
from vinn.reading.regular import reason_of

from vinn_ros.conversions import compress, to_image, to_stamp
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import ERROR, OK, WARN, Diagnosis, VinnNode
from vinn_ros.node.main import run_node
from vinn_ros.node.parameters import Parameter
from vinn_ros.paths import config_directory

FRAME_ID = "wrist_camera_optical_frame"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 8.0


class WristCameraNode(VinnNode):
    """Reads in a thread of its own; a camera that is lost is opened again, ever more patiently."""

    NAME = "wrist_camera"
    PARAMETERS = (
        Parameter("source", "", "camera under /dev/v4l/by-id, video file, or folder of images"),
        Parameter("width_px", 640, "of a camera; 0: as it is", unit="px", lower=0, upper=8192),
        Parameter("height_px", 480, "of a camera; 0: as it is", unit="px", lower=0, upper=8192),
        Parameter(
            "rate_hz",
            15.0,
            "asked of a camera; pace of files and folders",
            unit="Hz",
            lower=0.1,
            upper=240.0,
        ),
        Parameter(
            "pixel_format", "", "asked of a camera, four letters, e.g. MJPG; empty: as it is"
        ),
        Parameter(
            "camera_profile",
            "",
            "lens and view as demonstrations were made (vinn camera calibrate, config/cameras); "
            "empty: frames as they are",
        ),
        Parameter("crop", "", "left,top,right,bottom in fractions; empty: whole frames"),
        Parameter("loop", False, "begin a file or folder again when it ends"),
        Parameter(
            "camera_info",
            "",
            "calibration as camera_calibration writes it; empty: the profile's, if there is one",
        ),
    )

    def __init__(self, cli_args: list[str] | None = None) -> None:
        """See `VinnNode`."""
        super().__init__(cli_args)
        self._source: FrameSource | None = None
        self._view = FrameView()
        self._info = CameraInfo()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._frames = 0
        self._reconnections = 0
        self._problem = ""
        self._ended = False
        self._compressed = self.create_lifecycle_publisher(
            CompressedImage, "wrist_camera/image_raw/compressed", qos.STREAM
        )
        self._raw = self.create_lifecycle_publisher(Image, "wrist_camera/image_raw", qos.STREAM)
        self._camera_info = self.create_lifecycle_publisher(
            CameraInfo, "wrist_camera/camera_info", qos.STREAM
        )

    # Lifecycle

    def configure(self) -> None:
        """Open the source, so that a camera that does not exist is found out now."""
        profile = self.value("camera_profile")
        self._view = FrameView(
            _profile(profile) if profile else None, parse_crop(self.value("crop"))
        )
        file, lens = self.value("camera_info"), self._view.lens
        self._info = read_camera_info(file) if file or lens is None else to_camera_info(lens)
        self._source = self._open()

    def activate(self) -> None:
        """Begin to publish."""
        self._stopping.clear()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        """Stop publishing."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
            self._thread = None

    def cleanup(self) -> None:
        """Close the source."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def diagnose(self) -> Diagnosis:
        """A lost camera is an error, a file that has ended a warning."""
        values = {"frames": self._frames, "reconnections": self._reconnections}
        if self._problem:
            return ERROR, f"CAMERA_STALE: {self._problem}", values
        if self._ended:
            return WARN, "the file or folder has ended", values
        return OK, "active" if self.active else "not active", values

    # The thread

    def _run(self) -> None:
        pause_s, period_s = _FIRST_PAUSE_S, 1.0 / self.value("rate_hz")
        due_s = time.monotonic()
        while not self._stopping.is_set():
            try:
                if self._source is None:
                    self._source = self._open()
                    self._reconnections += 1
                source = self._source
                frame = source.read()
                shown = None if frame is None else self._view(frame[0])
            except VinnError as error:
                self._lose(error)
                self._stopping.wait(pause_s)
                pause_s = min(2.0 * pause_s, _LONGEST_PAUSE_S)
                continue
            if frame is None or shown is None:
                self.cleanup()
                if not self.value("loop"):
                    self._ended = True
                    return
                continue
            self._problem, pause_s = "", _FIRST_PAUSE_S
            self._publish(shown, frame[1])
            if not source.live:
                due_s = max(due_s + period_s, time.monotonic())
                self._stopping.wait(due_s - time.monotonic())

    def _lose(self, error: VinnError) -> None:
        """Say that the camera is gone, once; nothing is published in its place."""
        if not self._problem:
            self.get_logger().error(str(error))
        self._problem = str(error)
        self.cleanup()
        self.publish_diagnostics()

    def _open(self) -> FrameSource:
        return open_source(
            self.value("source"),
            self.value("width_px"),
            self.value("height_px"),
            self.value("rate_hz"),
            self.value("pixel_format"),
        )

    def _publish(self, image_rgb: NDArray[np.uint8], stamp_ns: int) -> None:
        stamp = to_stamp(stamp_ns)
        self._compressed.publish(compress(image_rgb, stamp, FRAME_ID))
        if self._raw.get_subscription_count() > 0:
            self._raw.publish(to_image(image_rgb, stamp, FRAME_ID))
        self._info.header.stamp, self._info.header.frame_id = stamp, FRAME_ID
        self._info.height, self._info.width = image_rgb.shape[:2]
        self._camera_info.publish(self._info)
        self._frames += 1


def _profile(name_or_path: str) -> CameraProfile:
    """By path (also below config/), or by name from config/cameras or of those in the package."""
    below = config_directory() / name_or_path
    given = str(below) if below.is_file() else name_or_path
    return find_profile(given, (config_directory() / "cameras",))


def to_camera_info(lens: Lens) -> CameraInfo:
    """The same lens as a message."""
    fx, fy, cx, cy = lens.fx_px, lens.fy_px, lens.cx_px, lens.cy_px
    return CameraInfo(
        width=lens.width_px,
        height=lens.height_px,
        distortion_model="plumb_bob" if lens.k is None else "equidistant",
        d=list(lens.k or (0.0,) * 5),
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def read_camera_info(path: str) -> CameraInfo:
    """A calibration as `camera_calibration` writes it; an empty path gives an empty one.

    Raises:
        vinn.errors.ConfigError: missing or malformed.
    """
    if not path:
        return CameraInfo()
    content = read_yaml(Path(path), ConfigError)
    try:
        return CameraInfo(
            width=int(content["image_width"]),
            height=int(content["image_height"]),
            distortion_model=str(content["distortion_model"]),
            d=[float(v) for v in content["distortion_coefficients"]["data"]],
            k=[float(v) for v in content["camera_matrix"]["data"]],
            r=[float(v) for v in content["rectification_matrix"]["data"]],
            p=[float(v) for v in content["projection_matrix"]["data"]],
        )
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
        raise ConfigError(f"camera_info: {path}: no calibration ({reason_of(error)})") from error


NODE = WristCameraNode


def main() -> None:
    """Run the node."""
    run_node(NODE)
