"""What a rollout's recording is made of: raw subscriptions, and the recorder that is open now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterEvent
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState
from vinn.errors import DatasetError
from vinn.rollout.recorder import RolloutRecorder

from vinn_msgs.msg import ExecutorStatus, PolicyStatus, RolloutStatus, SceneStatus
from vinn_msgs.msg import Prediction as PredictionMsg
from vinn_ros import qos
from vinn_ros.lifecycle import VinnNode

WRIST_TOPIC = "wrist_camera/image_raw/compressed"
TOPICS: Mapping[str, type] = {
    WRIST_TOPIC: CompressedImage,
    "wrist_camera/camera_info": CameraInfo,
    "overview_camera/image_raw/compressed": CompressedImage,
    "policy/prediction": PredictionMsg,
    "policy/status": PolicyStatus,
    "executor/status": ExecutorStatus,
    "supervisor/status": RolloutStatus,
    "scene/status": SceneStatus,
    "stretch/joint_states": JointState,
    "/diagnostics": DiagnosticArray,
    "/parameter_events": ParameterEvent,
}


class RolloutRecording:
    """Listens to the recorded topics all the time and writes while a recording is open.

    Messages are written as they came, without decoding; whoever else wants one names a listener.
    """

    def __init__(
        self,
        node: VinnNode,
        listeners: Mapping[str, Callable[[Any], None]],
        on_frame: Callable[[bytes], None],
    ) -> None:
        """Args: the node, who gets which topic's messages decoded, who gets the wrist
        frames, serialised.
        """
        self._node = node
        self._on_frame = on_frame
        self._lock = threading.Lock()
        self._recorder: RolloutRecorder | None = None
        for topic, message_type in TOPICS.items():
            node.subscribe(
                message_type,
                topic,
                self._writer(topic, message_type, listeners.get(topic)),
                qos.RECORD,
                MutuallyExclusiveCallbackGroup(),
                raw=True,
            )

    def open(self, path: Path, info: Mapping[str, str], min_free_bytes: int) -> Path | None:
        """Begin a recording; a disk that refuses costs the recording, not the rollout."""
        try:
            recorder = RolloutRecorder(path, info, min_free_bytes)
        except DatasetError as error:
            self._node.get_logger().error(f"not recorded: {error}")
            return None
        with self._lock:
            self._recorder = recorder
        return path

    def write_parameters(self, values: Mapping[str, str]) -> None:
        """Keep the nodes' parameters in the recording that is open, if there is one."""
        recorder = self._recorder
        if recorder is not None:
            recorder.write_parameters(values)

    def close(self, outcome: Mapping[str, str]) -> Path | None:
        """Finish the recording that is open, if there is one; returns where it is."""
        with self._lock:
            recorder, self._recorder = self._recorder, None
        if recorder is None:
            return None
        path = recorder.close(outcome)
        if recorder.error is not None:
            self._node.get_logger().error(f"recording incomplete: {recorder.error}")
        return path

    def _writer(
        self, topic: str, message_type: type, listener: Callable[[Any], None] | None
    ) -> Callable[[bytes], None]:
        package = message_type.__module__.partition(".")[0]
        type_name = f"{package}/msg/{message_type.__name__}"
        recorded_name = self._node.resolve_topic_name(topic)

        def write(cdr: bytes) -> None:
            recorder = self._recorder
            if recorder is not None:
                recorder.write(
                    recorded_name, type_name, cdr, self._node.get_clock().now().nanoseconds
                )
            if topic == WRIST_TOPIC:
                self._on_frame(cdr)
            if listener is not None:
                listener(deserialize_message(cdr, message_type))

        return write
