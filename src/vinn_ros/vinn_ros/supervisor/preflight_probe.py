"""What a preflight looks at, as it comes in: the robot's flags, the camera, clocks, the disk."""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import BatteryState, CompressedImage, JointState
from std_msgs.msg import Bool, String
from vinn.errors import ImageError, RobotError
from vinn.robot.checks.preflight import Observations
from vinn.robot.types import JointLimits

from vinn_msgs.msg import PolicyStatus, Prediction
from vinn_ros.conversions import cdr_stamp_ns, decompress
from vinn_ros.drivers.joint_names import joint_limits
from vinn_ros.node import qos
from vinn_ros.node.node_executor import QuickGroup
from vinn_ros.node.sensor_stream import SensorStream

_WINDOW_S = 3.0
"""Rates and clock differences are those of the last seconds."""
_LARGEST_PX = 4096


class _Arrivals:
    """When messages came, and how far their stamps were from the clock here."""

    def __init__(self) -> None:
        self._times: deque[tuple[float, float]] = deque()

    def add(self, stamp_ns: int) -> None:
        """One message; a stamp of 0 means that its sender gave none."""
        now_s = time.monotonic()
        difference_s = (time.time_ns() - stamp_ns) * 1e-9 if stamp_ns else math.nan
        self._times.append((now_s, difference_s))
        while self._times[0][0] < now_s - _WINDOW_S:
            self._times.popleft()

    @property
    def age_s(self) -> float | None:
        """Since the newest came."""
        return time.monotonic() - self._times[-1][0] if self._times else None

    @property
    def rate_hz(self) -> float | None:
        """Of the last seconds; None: too few came."""
        times = [t for t, _ in list(self._times)]
        if len(times) < 3 or times[-1] <= times[0]:
            return None
        return (len(times) - 1) / (times[-1] - times[0])

    @property
    def clock_difference_s(self) -> float | None:
        """Clock here minus the sender's, as the quickest message shows it; its way is included."""
        differences = [d for _, d in list(self._times) if math.isfinite(d)]
        return min(differences, key=abs) if differences else None


class PreflightProbe:
    """Listens on a node. Thread-safe."""

    def __init__(self, node: Node, recordings: Path) -> None:
        """Args: the node that listens, and where recordings go."""
        self._recordings = recordings
        self._news = threading.Condition()
        self._values: dict[str, Any] = {}
        self._limits: JointLimits | None = None
        self._limits_problem = ""
        self._joints, self._camera = _Arrivals(), _Arrivals()
        self._frame = b""
        self._arrived_s = -math.inf
        group = QuickGroup()

        def keep(name: str, field: str) -> Any:
            return lambda message: self._keep(name, getattr(message, field))

        for message_type, topic, callback in (
            (Bool, "is_homed", keep("homed", "data")),
            (Bool, "is_runstopped", keep("runstopped", "data")),
            (String, "mode", keep("mode", "data")),
            (String, "tool", keep("tool", "data")),
            (BatteryState, "battery", keep("battery_v", "voltage")),
            (JointState, "joint_limits", self._take_limits),
        ):
            SensorStream(node, message_type, topic, callback, qos.NEWEST, group)
        self._node = node

    def listen_to_streams(self) -> None:
        """Also subscribe to joints, camera and policy; whoever has these already calls `take_*`."""
        self._listen_raw(JointState, "stretch/joint_states", self.take_joints)
        self._listen_raw(CompressedImage, "wrist_camera/image_raw/compressed", self.take_frame)
        for message_type, topic in (
            (Prediction, "policy/prediction"),
            (PolicyStatus, "policy/status"),
        ):
            self._node.create_subscription(message_type, topic, self.take_policy, qos.NEWEST)

    def _listen_raw(self, message_type: type, topic: str, take: Callable[[bytes], None]) -> None:
        # Raw: of most of these messages only the stamp is wanted.
        SensorStream(self._node, message_type, topic, take, qos.STREAM, QuickGroup(), raw=True)

    def observe(self) -> Observations:
        """What is known now."""
        with self._news:
            clocks = {"the robot": self._joints, "the camera": self._camera}
            return Observations(
                **self._values,
                joint_states_age_s=self._joints.age_s,
                limits=self._limits,
                limits_problem=self._limits_problem,
                camera_age_s=self._camera.age_s,
                camera_rate_hz=self._camera.rate_hz,
                clock_differences_s={
                    who: arrivals.clock_difference_s
                    for who, arrivals in clocks.items()
                    if arrivals.clock_difference_s is not None
                },
                free_bytes=_free_bytes(self._recordings),
            )

    def frame_after(self, steady_s: float, timeout_s: float) -> NDArray[np.uint8]:
        """The first wrist frame to arrive after `steady_s`, (H, W, 3) uint8 RGB.

        Raises:
            vinn.errors.ImageError: none came in time, or it cannot be decoded.
        """
        with self._news:
            self._news.wait_for(lambda: self._arrived_s > steady_s, timeout_s)
            if self._arrived_s <= steady_s:
                raise ImageError(f"wrist_camera: no frame within {timeout_s:g} s")
            message = deserialize_message(self._frame, CompressedImage)
        return decompress(message, _LARGEST_PX)

    # What arrives

    def take_policy(self, message: Prediction | PolicyStatus) -> None:
        """Something from the policy node."""
        self._keep("policy", message.policy)

    def _keep(self, name: str, value: Any) -> None:
        with self._news:
            self._values[name] = value

    def _take_limits(self, message: JointState) -> None:
        try:
            limits, problem = joint_limits(message), ""
        except RobotError as error:
            limits, problem = None, f"joint_limits: {error}"
        with self._news:
            self._limits, self._limits_problem = limits, problem

    def take_joints(self, cdr: bytes) -> None:
        """Joint states, serialised."""
        with self._news:
            self._joints.add(cdr_stamp_ns(cdr))

    def take_frame(self, cdr: bytes) -> None:
        """A wrist frame, serialised."""
        with self._news:
            self._camera.add(cdr_stamp_ns(cdr))
            self._frame, self._arrived_s = cdr, time.monotonic()
            self._news.notify_all()


def _free_bytes(directory: Path) -> int | None:
    """Room on the disk on which `directory` lies, or would."""
    for place in (directory, *directory.absolute().parents):
        if place.exists():
            try:
                return shutil.disk_usage(place).free
            except OSError:
                return None
    return None
