"""A recorded rollout as series over time: images, predictions, steps and the door's angle."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.encoded_image import is_jpeg
from vinn.demos.frames import encode_jpeg
from vinn.demos.types import ActionScale
from vinn.errors import DatasetError
from vinn.policies.episode import Position, StepReport
from vinn.policies.types import GraspPoint, Neighbor, Prediction
from vinn.robot.types import ReasonCode
from vinn.rollout.reader import RecordedMessage, read_recording
from vinn.rollout.step_report import step_report
from vinn.rollout.storage.clock import ClockJump
from vinn.rollout.storage.images import COMPRESSED_IMAGE, IMAGE, RGB_OF
from vinn.rollout.storage.stored import recorded_types
from vinn.rollout.storage.topics import find_topics

EXECUTING = 1  # vinn_msgs/msg/ExecutorStatus.EXECUTING
RUNNING = 3  # vinn_msgs/msg/RolloutStatus.RUNNING


@dataclass(frozen=True)
class RecordedImage:
    """An image message: when it was recorded, when it was taken, and what it is."""

    recorded_ns: int
    stamp_ns: int
    type_name: str
    """One of `vinn.rollout.storage.images.RGB_OF`."""
    message: Any

    def decode(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB.

        Raises:
            ImageError: not a whole image.
        """
        what = f"recorded image of stamp {self.stamp_ns} ns"
        return RGB_OF[self.type_name](self.message, what)

    @property
    def jpeg(self) -> bytes:
        """A JPEG of it: the recorded bytes, where they are one.

        Raises:
            ImageError: not a whole image.
        """
        data = bytes(self.message.data)
        if self.type_name == COMPRESSED_IMAGE and is_jpeg(data):
            return data
        return encode_jpeg(self.decode())


@dataclass(frozen=True)
class RecordedPrediction:
    """A prediction: when it was recorded, the stamp of its image, its number."""

    recorded_ns: int
    stamp_ns: int
    sequence: int
    prediction: Prediction
    image_age_s: float
    """From the image's stamp to publication, as the policy node measured it."""
    position: Position | None = None
    """The session and step that the policy knew of; None: the recording is too old to say."""


@dataclass(frozen=True)
class RecordedStep:
    """The moment the executor took on a step."""

    recorded_ns: int
    stamp_ns: int
    sequence: int


@dataclass(frozen=True)
class SceneMoment:
    """Ground truth of the simulated scene at one moment."""

    recorded_ns: int
    door_angle_rad: float
    grasped: bool
    opened: bool
    fully_opened: bool


@dataclass
class RolloutTimeline:
    """What a recording holds, by kind, each in the order of recording."""

    path: Path
    wrist: list[RecordedImage] = field(default_factory=list)
    overview: list[RecordedImage] = field(default_factory=list)
    predictions: list[RecordedPrediction] = field(default_factory=list)
    driven: list[RecordedPrediction] = field(default_factory=list)
    """Steps that the operator asked for by hand, each under the number of its step."""
    steps: list[RecordedStep] = field(default_factory=list)
    reports: list[StepReport] = field(default_factory=list)
    """What the executor said of each step it had taken; empty in an old recording."""
    scene: list[SceneMoment] = field(default_factory=list)
    cabinet: str = ""
    running_ns: list[int] = field(default_factory=list)
    """When the supervisor said that the rollout was running."""
    jumps: list[ClockJump] = field(default_factory=list)
    """Where a clock was set meanwhile; `recorded_ns` are without these jumps, stamps are not."""

    @property
    def start_ns(self) -> int:
        """When the rollout began to run, else the first entry of any kind."""
        if self.running_ns:
            return self.running_ns[0]
        return min((series[0].recorded_ns for series in self.series if series), default=0)

    @property
    def end_ns(self) -> int:
        """The last entry of any kind."""
        return max((series[-1].recorded_ns for series in self.series if series), default=0)

    @property
    def series(self) -> tuple[list[Any], ...]:
        """Everything that has a time of recording, by kind."""
        return (self.wrist, self.overview, self.predictions, self.steps, self.scene)

    def steps_with_predictions(self) -> list[tuple[RecordedStep, RecordedPrediction]]:
        """Each step with what the operator asked for, or with the prediction that the executor
        names. Where it names none, with the newest recorded before the executor took the step on.
        """
        by_hand = {asked.sequence: asked for asked in self.driven}
        times = [prediction.recorded_ns for prediction in self.predictions]
        numbers = {report.step: report.prediction_sequence for report in self.reports}
        pairs = []
        for step in self.steps:
            before = self.predictions[: bisect.bisect_right(times, step.recorded_ns)]
            asked = by_hand.get(step.sequence)
            if asked is not None:
                pairs.append((step, asked))
                continue
            number = numbers.get(step.sequence)
            named = next((p for p in reversed(before) if p.sequence == number), None)
            if before:
                pairs.append((step, named or before[-1]))
        return pairs

    def image_of(self, prediction: RecordedPrediction) -> RecordedImage | None:
        """The wrist image a prediction was made from, if it was recorded."""
        for image in reversed(self.wrist):
            if image.stamp_ns == prediction.stamp_ns:
                return image
        return None


_WRIST, _WRIST_RAW = "wrist_camera/image_raw/compressed", "wrist_camera/image_raw"
_TOPICS = {
    _WRIST: (COMPRESSED_IMAGE,),
    _WRIST_RAW: (IMAGE,),
    "overview_camera/image_raw/compressed": (COMPRESSED_IMAGE,),
    "policy/prediction": ("vinn_msgs/msg/Prediction",),
    "supervisor/driven_step": ("vinn_msgs/msg/Prediction",),
    "executor/status": ("vinn_msgs/msg/ExecutorStatus",),
    "supervisor/status": ("vinn_msgs/msg/RolloutStatus",),
    "scene/status": ("vinn_msgs/msg/SceneStatus",),
}


def load_timeline(path: Path) -> RolloutTimeline:
    """Read a recording of one rollout, complete or cut off; one that ended at once has no series.

    Raises:
        DatasetError: missing or not a recording; a topic of another type, or of several robots.
    """
    timeline = RolloutTimeline(path)
    topics = find_topics(path, recorded_types(path), _TOPICS)
    if _WRIST in topics.values():
        topics = {topic: name for topic, name in topics.items() if name != _WRIST_RAW}
    for entry in read_recording(path, topics, timeline.jumps.append):
        _take(timeline, topics[entry.topic], entry)
    for series in timeline.series:
        # Recorders may write messages that came at about the same time in another order.
        series.sort(key=lambda entry: entry.recorded_ns)
    return timeline


def _take(timeline: RolloutTimeline, topic: str, entry: RecordedMessage) -> None:
    recorded_ns, message = entry.stamp_ns, entry.message
    if topic in (_WRIST, _WRIST_RAW):
        timeline.wrist.append(_image(entry))
    elif topic == "overview_camera/image_raw/compressed":
        timeline.overview.append(_image(entry))
    elif topic in ("policy/prediction", "supervisor/driven_step"):
        said = timeline.predictions if topic == "policy/prediction" else timeline.driven
        said.append(
            RecordedPrediction(
                recorded_ns,
                stamp_ns(message.header.stamp),
                int(message.sequence),
                to_prediction(message),
                float(message.image_age_s),
                _position(message),
            )
        )
    elif topic == "executor/status":
        newest = timeline.steps[-1].sequence if timeline.steps else None
        if message.state == EXECUTING and int(message.sequence) != newest:
            timeline.steps.append(
                RecordedStep(recorded_ns, stamp_ns(message.header.stamp), int(message.sequence))
            )
        report = step_report(message)
        told = timeline.reports[-1] if timeline.reports else None
        if report and (told is None or (report.session, report.step) != (told.session, told.step)):
            timeline.reports.append(report)
    elif topic == "supervisor/status":
        if message.state == RUNNING:
            timeline.running_ns.append(recorded_ns)
    elif topic == "scene/status":
        timeline.cabinet = message.cabinet
        timeline.scene.append(
            SceneMoment(
                recorded_ns,
                float(message.door_angle_rad),
                bool(message.grasped),
                bool(message.opened),
                bool(message.fully_opened),
            )
        )


def stamp_ns(stamp: Any) -> int:
    """A builtin_interfaces/Time as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _action_scale(word: str) -> ActionScale:
    try:
        return ActionScale(word)
    except ValueError:
        raise DatasetError(
            f"recording: a prediction's action_scale is {word!r}; allowed: "
            f"{', '.join(scale.value for scale in ActionScale)}"
        ) from None


def to_prediction(message: Any) -> Prediction:
    """A vinn_msgs/msg/Prediction as read from a recording.

    Raises:
        vinn.errors.DatasetError: its unit is one that this version does not know.
    """
    return Prediction(
        camera_delta=_vector(message.camera_delta),
        gripper_value=float(message.gripper_value),
        gripper_probabilities=np.asarray(message.gripper_probabilities, dtype=np.float64),
        action_scale=_action_scale(message.action_scale),
        neighbors=tuple(
            Neighbor(
                demonstration=neighbor.demonstration,
                frame=int(neighbor.frame),
                index=int(neighbor.index),
                distance=float(neighbor.distance),
                weight=float(neighbor.weight),
                camera_delta=_vector(neighbor.camera_delta).astype(np.float32),
                gripper_state=int(neighbor.gripper_state),
            )
            for neighbor in message.neighbors
        ),
        novelty=float(message.novelty),
        latency_s={
            "preprocess": float(message.preprocess_latency_s),
            "encode": float(message.encode_latency_s),
            "retrieve": float(message.retrieve_latency_s),
        },
        refusal=_refusal(message),
        grasp_point=_grasp_point(message) if getattr(message, "has_grasp_point", False) else None,
    )


def _refusal(message: Any) -> ReasonCode | None:
    said = getattr(message, "refusal", "")
    return ReasonCode(said) if said in set(ReasonCode) else None


def _grasp_point(message: Any) -> GraspPoint:
    return GraspPoint(
        camera_delta=_vector(message.grasp_point),
        std=_vector(message.grasp_point_std),
        image_uv=np.asarray(message.grasp_point_uv, dtype=np.float64),
        image_std=np.asarray(message.grasp_point_uv_std, dtype=np.float64),
    )


def _position(message: Any) -> Position | None:
    if not hasattr(message, "after_step"):
        return None
    return Position(str(message.session), int(message.after_step))


def _image(entry: RecordedMessage) -> RecordedImage:
    taken_ns = stamp_ns(entry.message.header.stamp)
    return RecordedImage(entry.stamp_ns, taken_ns, entry.type_name, entry.message)


def _vector(vector: Any) -> NDArray[np.float64]:
    return np.array([vector.x, vector.y, vector.z], dtype=np.float64)
