"""The node that looks: from wrist camera frames to predictions, always on the newest frame."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import CompressedImage
from vinn.errors import ImageError, VinnError
from vinn.policies.types import Prediction
from vinn.robot.types import ReasonCode
from vinn.rollout.step_report import step_report

from vinn_msgs.msg import ExecutorStatus, PolicyStatus, RolloutStatus
from vinn_msgs.msg import Prediction as PredictionMsg
from vinn_msgs.srv import LoadPolicy
from vinn_ros.conversions import (
    compress,
    decompress,
    from_image,
    to_nanoseconds,
    to_prediction_msg,
)
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import ERROR, OK, WARN, Diagnosis, VinnNode
from vinn_ros.node.main import run_node
from vinn_ros.node.newest import Newest
from vinn_ros.node.node_executor import QuickGroup
from vinn_ros.node.sensor_stream import BEST_EFFORT, RELIABLE
from vinn_ros.policy.frame_gate import FrameGate, GateLimits
from vinn_ros.policy.loaded_policy import LoadedPolicy
from vinn_ros.policy.parameters import IMAGE_TYPES, PARAMETERS

_SILENT_AFTER_S = 1.0
_ANOTHER_STREAM_S = 3.0
"""After such a silence, which no rollout outlives as shipped, a stream begins anew."""


@dataclass(frozen=True)
class _Frame:
    """A frame as it came in."""

    message: Any
    received_s: float
    """Steady clock."""
    age_s: float
    """When it came in, by the stamp; below 0: its clock is ahead."""
    stream: int
    """Counts the silences before it."""

    def age_now_s(self) -> float:
        """Its age, time spent here included; at least the latter."""
        return max(0.0, self.age_s) + time.monotonic() - self.received_s


class VinnPolicyNode(VinnNode):
    """Predicts in a thread of its own; draws the mosaic in another, when somebody looks at it."""

    NAME = "vinn_policy"
    PARAMETERS = PARAMETERS

    def __init__(self, cli_args: list[str] | None = None) -> None:
        """See `VinnNode`."""
        super().__init__(cli_args)
        self._policy: LoadedPolicy | None = None
        self._loading = threading.Lock()
        self._frames: Newest[_Frame] = Newest()
        self._drawings: Newest[tuple[NDArray[np.uint8], Prediction, LoadedPolicy, Any]] = Newest()
        self._threads: list[threading.Thread] = []
        self._gate = FrameGate(self._gate_limits())
        self._sequence = 0
        self._refused_in_a_row = 0
        self._last_frame_s = time.monotonic()
        self._stream = self._judged_stream = 0
        self._problem = ""
        self._lost_track = ""
        """Why the policy began anew in the middle of the rollout; empty: it did not."""
        self._predictions = self.create_lifecycle_publisher(
            PredictionMsg, "policy/prediction", qos.NEWEST
        )
        self._statuses = self.create_lifecycle_publisher(PolicyStatus, "policy/status", qos.STREAM)
        self._mosaics = self.create_lifecycle_publisher(
            CompressedImage, "policy/neighbors/compressed", qos.NEWEST
        )
        transport = self.value("image_transport")
        topic = "wrist_camera/image_raw" + ("/compressed" if transport == "compressed" else "")
        self._images = self.subscribe_sensor(
            IMAGE_TYPES[transport],
            topic,
            self._take_frame,
            qos.STREAM,
            QuickGroup(),
            reliability=self.value("image_reliability"),
        )
        self.subscribe(
            RolloutStatus,
            "supervisor/status",
            self._take_rollout,
            qos.STREAM,
            QuickGroup(),
        )
        self.subscribe(
            ExecutorStatus, "executor/status", self._take_executor, qos.STREAM, QuickGroup()
        )
        self.serve(LoadPolicy, "policy/load", self._load, MutuallyExclusiveCallbackGroup())

    # Lifecycle

    def configure(self) -> None:
        """Load the policy."""
        cv2.setNumThreads(self.value("threads"))
        directory = self.value("policy")
        self._policy = self._load_policy(Path(directory), self.value("k")) if directory else None

    def activate(self) -> None:
        """Begin to predict."""
        self._sequence = self._refused_in_a_row = 0
        self._gate = FrameGate(self._gate_limits())
        self._frames, self._drawings = Newest(), Newest()
        if self._policy is not None:
            self._policy.begin_anew()  # predictions are counted from 1 again
        self._threads = [
            threading.Thread(target=self._predict_frames, name="predict", daemon=True),
            threading.Thread(target=self._draw_mosaics, name="mosaic", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def deactivate(self) -> None:
        """Stop predicting."""
        self._frames.close()
        self._drawings.close()
        for thread in self._threads:
            thread.join(timeout=2.0)
        self._threads = []

    def cleanup(self) -> None:
        """Let go of the policy."""
        self._policy = None

    def parameters_changed(self, values: dict[str, Any]) -> None:
        """Another number of neighbours counts from the next frame on."""
        policy = self._policy
        if "k" in values and policy is not None:
            policy.use_neighbors(values["k"])

    def diagnose(self) -> Diagnosis:
        """No policy, no frames, refused frames."""
        policy = self._policy
        silent_s = time.monotonic() - self._last_frame_s
        values: dict[str, object] = {
            "policy": policy.label if policy else "none",
            "predictions": self._sequence,
            "images": RELIABLE if self._images.is_reliable else BEST_EFFORT,
            **{f"refused_{kind}": count for kind, count in self._gate.refused.items()},
        }
        if self._problem:
            return ERROR, self._problem, values
        if not self.active:
            return OK, "not active", values
        if policy is None:
            return WARN, "no policy is loaded", values
        if self._lost_track and policy.episode.running:
            return WARN, self._lost_track, values
        if silent_s > _SILENT_AFTER_S:
            return ERROR, f"CAMERA_STALE: no frame for {silent_s:.1f} s", values
        if self._gate.last_refusal:
            return WARN, f"{self._gate.last_reason.value}: {self._gate.last_refusal}", values
        return OK, "active", values

    # What comes in

    def _take_frame(self, message: Any) -> None:
        received_s = time.monotonic()
        self._stream += received_s - self._last_frame_s > _ANOTHER_STREAM_S
        self._last_frame_s = received_s
        if self.active:
            now_ns = self.get_clock().now().nanoseconds
            age_s = (now_ns - to_nanoseconds(message.header.stamp)) * 1e-9
            self._frames.put(_Frame(message, received_s, age_s, self._stream))

    def _take_rollout(self, status: RolloutStatus) -> None:
        policy = self._policy
        if policy is not None:
            running = status.state == RolloutStatus.RUNNING
            policy.episode.tell_session(status.session if running else "")

    def _take_executor(self, status: ExecutorStatus) -> None:
        policy, report = self._policy, step_report(status)
        if policy is not None and report is not None:
            policy.episode.tell_step(report)

    def _load(
        self, request: LoadPolicy.Request, response: LoadPolicy.Response
    ) -> LoadPolicy.Response:
        """Load another policy; the old one stays if that fails, whatever is wrong."""
        try:
            loaded = self._load_policy(Path(request.path), self.value("k"))
        except Exception as error:
            if not isinstance(error, VinnError):
                self.get_logger().error(traceback.format_exc())
            response.success, response.message = False, str(error) or repr(error)
        else:
            with self._loading:
                self._policy = loaded
                self._problem = ""
            response.success, response.message = True, "loaded"
        response.policy = self._policy.label if self._policy else ""
        return response

    def _load_policy(self, directory: Path, k: int) -> LoadedPolicy:
        loaded = LoadedPolicy(directory, self.value("threads"), self.value("precision"))
        loaded.use_neighbors(k)
        return loaded

    # The threads

    def _predict_frames(self) -> None:
        while True:
            frame = self._frames.take()
            if frame is None:
                return
            with self._loading:
                policy = self._policy
                if policy is None:
                    continue
                try:
                    self._predict(frame, policy)
                except Exception as error:
                    # The next frame gets its chance; this one is a failure of the policy.
                    self.get_logger().error(traceback.format_exc(), throttle_duration_sec=1.0)
                    self._problem = f"{ReasonCode.POLICY_LOST.value}: {error!r}"
                    self._report(frame, policy, ReasonCode.POLICY_LOST, repr(error))

    def _predict(self, frame: _Frame, policy: LoadedPolicy) -> None:
        """Check, decode, predict, publish."""
        gate = self._gate
        waited_s = time.monotonic() - frame.received_s
        if frame.stream != self._judged_stream:
            self._judged_stream = frame.stream
            gate.forget_bytes()
        if gate.check_age(frame.age_s + waited_s) or gate.check_bytes(bytes(frame.message.data)):
            self._report(frame, policy, gate.last_reason, gate.last_refusal)
            return
        decode_s = time.monotonic()
        try:
            image_rgb = self._decode(frame.message)
        except ImageError as error:
            self._report(frame, policy, ReasonCode.INVALID_IMAGE, gate.malformed(error))
            return
        decode_s = time.monotonic() - decode_s
        episode = policy.episode
        if gate.check_shape(image_rgb, running=episode.running) or gate.check_pixels(image_rgb):
            self._report(frame, policy, gate.last_reason, gate.last_refusal)
            return
        try:
            prediction = policy.predict(image_rgb, self._sequence + 1)
        except VinnError as error:
            self._problem = f"{ReasonCode.POLICY_LOST.value}: {error}"
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            self._report(frame, policy, ReasonCode.POLICY_LOST, str(error))
            return
        self._problem = ""
        if episode.lost_track != self._lost_track:
            self._lost_track = episode.lost_track
            if self._lost_track:
                self.get_logger().warning(self._lost_track)
        self._sequence += 1
        message = to_prediction_msg(prediction)
        message.header = frame.message.header
        message.sequence = self._sequence
        message.policy = policy.label
        message.session, message.after_step = episode.position.session, episode.position.step
        message.preprocess_latency_s += decode_s
        message.image_age_s = frame.age_now_s()
        self._predictions.publish(message)
        if self._refused_in_a_row:
            self._report(frame, policy, ReasonCode.NONE, "")
        if self.value("mosaic_rate_hz") > 0 and self._mosaics.get_subscription_count() > 0:
            self._drawings.put((image_rgb, prediction, policy, frame.message.header))

    def _report(
        self, frame: _Frame, policy: LoadedPolicy, reason: ReasonCode, message: str
    ) -> None:
        """Tell why this frame leads to no prediction, or that one does again (NONE)."""
        refused = reason is not ReasonCode.NONE
        self._refused_in_a_row = self._refused_in_a_row + 1 if refused else 0
        status = PolicyStatus(
            header=frame.message.header,
            reason=reason.value,
            message=message,
            policy=policy.label,
            predictions=self._sequence,
            refused=self._gate.refused.total(),
            refused_in_a_row=self._refused_in_a_row,
            image_age_s=frame.age_now_s(),
        )
        self._statuses.publish(status)
        if self._refused_in_a_row == 1:
            self.publish_diagnostics()

    def _decode(self, message: Any) -> NDArray[np.uint8]:
        largest_px = self.value("max_image_px")
        if isinstance(message, CompressedImage):
            return decompress(message, largest_px)
        return from_image(message, largest_px)

    def _draw_mosaics(self) -> None:
        while True:
            drawing = self._drawings.take()
            if drawing is None:
                return
            # matplotlib-free, but not small: loaded when somebody looks for the first time.
            from vinn.viz.mosaic import neighbor_mosaic

            image_rgb, prediction, policy, header = drawing
            try:
                mosaic_rgb = neighbor_mosaic(image_rgb, prediction, policy.artefact.thumbnail)
                self._mosaics.publish(compress(mosaic_rgb, header.stamp, header.frame_id))
            except Exception:
                # A picture for people; the next one may be drawn again.
                self.get_logger().error(traceback.format_exc(), throttle_duration_sec=10.0)
            rate_hz = self.value("mosaic_rate_hz")
            self._drawings.pause(1.0 / rate_hz if rate_hz > 0 else 0.0)

    def _gate_limits(self) -> GateLimits:
        return GateLimits(
            max_age_s=self.value("max_image_age_s"),
            max_identical=self.value("max_identical_frames"),
            darkest=self.value("darkest"),
            brightest=self.value("brightest"),
            min_contrast=self.value("min_contrast"),
            min_sharpness=self.value("min_sharpness"),
        )


NODE = VinnPolicyNode


def main() -> None:
    """Run the node."""
    run_node(NODE)
