"""What a rollout's recording is made of: raw subscriptions, and the recorder that is open now.

Who listens is told first, and the disk is written to in a thread of its own: a step must not wait
until its prediction is in the file, and nothing may wait for a disk that stalls.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterEvent
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState
from vinn.errors import DatasetError
from vinn.rollout.recorder import LOST_KEY, RolloutRecorder

from vinn_msgs.msg import ExecutorStatus, PolicyStatus, RolloutStatus, SceneStatus
from vinn_msgs.msg import Prediction as PredictionMsg
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.node_executor import QuickGroup

WRIST_TOPIC = "wrist_camera/image_raw/compressed"
DRIVEN_TOPIC = "supervisor/driven_step"
JOINTS_TOPIC = "stretch/joint_states"
SENSORS = frozenset(
    {
        WRIST_TOPIC,
        "wrist_camera/camera_info",
        "overview_camera/image_raw/compressed",
        JOINTS_TOPIC,
    }
)
"""Of these, what drivers of others publish, each in its own way."""
TOPICS: Mapping[str, type] = {
    WRIST_TOPIC: CompressedImage,
    "wrist_camera/camera_info": CameraInfo,
    "overview_camera/image_raw/compressed": CompressedImage,
    "policy/prediction": PredictionMsg,
    "policy/status": PolicyStatus,
    "executor/status": ExecutorStatus,
    "supervisor/status": RolloutStatus,
    DRIVEN_TOPIC: PredictionMsg,
    "scene/status": SceneStatus,
    JOINTS_TOPIC: JointState,
    "/diagnostics": DiagnosticArray,
    "/parameter_events": ParameterEvent,
}
MOST_WAITING = 4096
"""Messages that may wait for the disk: some twenty seconds of a rollout."""


class Writing:
    """A recording that is open, and the thread that writes it."""

    def __init__(self, recorder: RolloutRecorder, most_waiting: int = MOST_WAITING) -> None:
        """Args: where messages go, and how many may wait for the disk."""
        self.recorder = recorder
        self.lost = 0
        """Messages that came when too many waited already."""
        self._waiting: queue.Queue[tuple[str, str, bytes, int] | None] = queue.Queue(most_waiting)
        self._thread = threading.Thread(target=self._write, name="recording", daemon=True)
        self._thread.start()

    def put(self, topic: str, type_name: str, cdr: bytes, stamp_ns: int) -> None:
        """As `RolloutRecorder.write`, soon."""
        try:
            self._waiting.put_nowait((topic, type_name, cdr, stamp_ns))
        except queue.Full:
            self.lost += 1

    def close(self, outcome: Mapping[str, str]) -> Path:
        """Write what waits, then as `RolloutRecorder.close`, and how many messages are missing."""
        self._waiting.put(None)
        self._thread.join()
        lost = {LOST_KEY: str(self.lost)} if self.lost else {}
        return self.recorder.close({**outcome, **lost})

    def _write(self) -> None:
        while (message := self._waiting.get()) is not None:
            self.recorder.write(*message)


class RolloutRecording:
    """Listens to the recorded topics all the time and writes while a recording is open.

    Messages are written as they came, without decoding; whoever else wants one names a listener.
    """

    def __init__(
        self,
        node: VinnNode,
        listeners: Mapping[str, Callable[[Any], None]],
        raw_listeners: Mapping[str, Callable[[bytes], None]],
    ) -> None:
        """Args: the node, who gets which topic's messages decoded, who gets which serialised."""
        self._node = node
        self._lock = threading.Lock()
        self._writing: Writing | None = None
        self._set_clock()
        for topic, message_type in TOPICS.items():
            subscribe = node.subscribe_sensor if topic in SENSORS else node.subscribe
            subscribe(
                message_type,
                topic,
                self._writer(topic, message_type, listeners.get(topic), raw_listeners.get(topic)),
                qos.RECORD,
                QuickGroup(),
                raw=True,
            )

    def open(self, path: Path, info: Mapping[str, str], min_free_bytes: int) -> Path | None:
        """Begin a recording; a disk that refuses costs the recording, not the rollout."""
        try:
            recorder = RolloutRecorder(path, info, min_free_bytes)
        except DatasetError as error:
            self._node.get_logger().error(f"not recorded: {error}")
            return None
        self._set_clock()
        with self._lock:
            self._writing = Writing(recorder)
        return path

    def write_parameters(self, values: Mapping[str, str]) -> None:
        """Keep the nodes' parameters in the recording that is open, if there is one."""
        writing = self._writing
        if writing is not None:
            writing.recorder.write_parameters(values)

    def close(self, outcome: Mapping[str, str]) -> Path | None:
        """Finish the recording that is open, if there is one; returns where it is."""
        with self._lock:
            writing, self._writing = self._writing, None
        if writing is None:
            return None
        path = writing.close(outcome)
        if writing.recorder.error is not None:
            self._node.get_logger().error(f"recording incomplete: {writing.recorder.error}")
        if writing.lost:
            self._node.get_logger().error(
                f"{path}: {writing.lost} messages are missing: the disk was too slow"
            )
        return path

    def _set_clock(self) -> None:
        self._started_ns = self._node.get_clock().now().nanoseconds
        self._started_steady_ns = time.monotonic_ns()

    def _clock_ns(self) -> int:
        """Now [ns since the epoch]; whoever sets the machine's clock does not set this one."""
        return self._started_ns + time.monotonic_ns() - self._started_steady_ns

    def _writer(
        self,
        topic: str,
        message_type: type,
        listener: Callable[[Any], None] | None,
        raw_listener: Callable[[bytes], None] | None,
    ) -> Callable[[bytes], None]:
        package = message_type.__module__.partition(".")[0]
        type_name = f"{package}/msg/{message_type.__name__}"
        # The graph's own name, also where a topic of another's camera takes its place.
        recorded_name = self._node.resolve_topic_name(topic, only_expand=True)

        def take(cdr: bytes) -> None:
            arrived_ns = self._clock_ns()
            try:
                if raw_listener is not None:
                    raw_listener(cdr)
                if listener is not None:
                    listener(deserialize_message(cdr, message_type))
            finally:
                # What somebody stumbles over is wanted in the recording above all.
                writing = self._writing
                if writing is not None:
                    writing.put(recorded_name, type_name, cdr, arrived_ns)

        return take
