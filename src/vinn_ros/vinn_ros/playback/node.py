"""Plays a recording with its original timing, for machines without `ros2 bag`."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from std_srvs.srv import SetBool, Trigger
from vinn.errors import ConfigError, DatasetError, VinnError
from vinn.rollout.reader import timed_messages
from vinn.rollout.storage.clock import ClockJump
from vinn.rollout.storage.images import COMPRESSED_IMAGE, IMAGE
from vinn.rollout.storage.stored import recorded_types
from vinn.rollout.storage.topics import check_type, find_topic

from vinn_ros.node import qos
from vinn_ros.node.lifecycle import ERROR, OK, WARN, Diagnosis, VinnNode
from vinn_ros.node.main import run_node
from vinn_ros.node.parameters import Parameter
from vinn_ros.playback.restamping import restamped
from vinn_ros.step_mode import StepMode

_CAMERA = {
    "wrist_camera/image_raw/compressed": COMPRESSED_IMAGE,
    "wrist_camera/image_raw": IMAGE,
    "wrist_camera/camera_info": "sensor_msgs/msg/CameraInfo",
}
"""Topics that are played, and their types."""


class BagPlayerNode(VinnNode):
    """Publishes recorded bytes as they are, but for the stamp; the policy refuses old images."""

    NAME = "bag_player"
    PARAMETERS = (
        Parameter("bag", "", "rosbag2 directory, or MCAP or sqlite3 file"),
        Parameter("rate", 1.0, "speed; 1: original timing", lower=0.01, upper=100.0),
        Parameter("paused", False, "wait for bag_player/step or the end of the pause"),
        Parameter("loop", False, "begin again at the end"),
        Parameter(
            "topics",
            list(_CAMERA),
            "topics to play, without leading slash; recorded in any namespace, they are published "
            "in the player's own",
        ),
        Parameter(
            "recorded_namespace",
            "",
            "namespace in which they were recorded; empty: found where there is only one",
        ),
        Parameter("restamp", True, "stamp messages with the time at which they are played"),
    )

    def __init__(self, cli_args: list[str] | None = None) -> None:
        """See `VinnNode`."""
        super().__init__(cli_args)
        self._outputs: dict[str, tuple[Any, bool]] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._pause = StepMode(self.value("paused"))
        self.create_service(SetBool, "bag_player/pause", self._on_pause)
        self.create_service(Trigger, "bag_player/step", self._on_step)
        self._played = 0
        self._ended = False
        self._problem = ""

    # Lifecycle

    def configure(self) -> None:
        """Open the recording and advertise what it holds."""
        bag = Path(self.value("bag"))
        try:
            types = recorded_types(bag)
        except DatasetError as error:
            raise DatasetError(f"bag: {error}") from error
        for topic, recorded in self._chosen(bag, types).items():
            if topic in _CAMERA:
                check_type(bag, recorded, types[recorded], (_CAMERA[topic],))
            message_type = _message_type(types[recorded])
            fields = list(message_type.get_fields_and_field_types().values())
            stamped = bool(fields) and fields[0] == "std_msgs/Header"
            publisher = self.create_lifecycle_publisher(message_type, topic, qos.STREAM)
            self._outputs[recorded] = (publisher, stamped and self.value("restamp"))

    def _chosen(self, bag: Path, types: Mapping[str, str]) -> dict[str, str]:
        """Topics to play, and what they are called in the recording."""
        namespace = self.value("recorded_namespace").strip("/")
        inside = [t for t in types if not namespace or t.strip("/").startswith(f"{namespace}/")]
        found = {
            topic: recorded
            for topic in self.value("topics")
            if (recorded := find_topic(inside, topic, bag)) is not None
        }
        if not found:
            where = f" in namespace {namespace}" if namespace else ""
            raise ConfigError(
                f"topics: none of {', '.join(self.value('topics'))} is recorded{where}; "
                f"recorded: {', '.join(types) or 'nothing'}"
            )
        return found

    def activate(self) -> None:
        """Begin to play."""
        self._stopping.clear()
        self._ended, self._problem = False, ""
        self.get_logger().info(
            f"{'paused before' if self.value('paused') else 'playing'} {self.value('bag')}: "
            f"{', '.join(self._outputs)}; vinn-operator playback pause, step, go"
        )
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        """Stop playing."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
            self._thread = None

    def cleanup(self) -> None:
        """Take the topics back."""
        for publisher, _ in self._outputs.values():
            self.discard(publisher)
        self._outputs = {}

    def diagnose(self) -> Diagnosis:
        """A damaged recording is an error, the end a warning."""
        values = {"played": self._played}
        if self._problem:
            return ERROR, self._problem, values
        if self._ended:
            return WARN, "the recording has ended", values
        return OK, "active" if self.active else "not active", values

    # Requests

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Hold, or go on."""
        self._pause.enable(request.data)
        response.success, response.message = True, "paused" if request.data else "playing"
        return response

    def _on_step(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Play one message while paused."""
        response.success = self._pause.allow()
        response.message = "one message" if response.success else "not paused"
        return response

    # The thread

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._play_once()
                if not self.value("loop"):
                    break
            self._ended = True
            self.get_logger().info(f"played {self._played} messages")
        except VinnError as error:
            self._problem = str(error)
            self.get_logger().error(self._problem)
        self.publish_diagnostics()

    def _play_once(self) -> None:
        rate = self.value("rate")
        first_ns, started_s = None, time.monotonic()
        for message in timed_messages(Path(self.value("bag")), self._outputs, self._tell):
            if first_ns is None:
                first_ns = message.stamp_ns
            waiting_s = time.monotonic()
            self._pause.wait(self._stopping.is_set)
            started_s += time.monotonic() - waiting_s
            due_s = started_s + (message.stamp_ns - first_ns) * 1e-9 / rate
            if self._stopping.wait(max(0.0, due_s - time.monotonic())):
                return
            publisher, stamped = self._outputs[message.stored.topic]
            now_ns, cdr = self.get_clock().now().nanoseconds, message.stored.data
            publisher.publish(restamped(cdr, now_ns) if stamped else cdr)
            self._played += 1

    def _tell(self, jump: ClockJump) -> None:
        self.get_logger().warning(f"{self.value('bag')}: {jump}; played on without a pause")


def _message_type(name: str) -> Any:
    """The class of a message type such as sensor_msgs/msg/Image.

    Raises:
        vinn.errors.ConfigError: its package is not installed.
    """
    package, _, short = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), short)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"topics: type {name} is not installed") from error


NODE = BagPlayerNode


def main() -> None:
    """Run the node."""
    run_node(NODE)
