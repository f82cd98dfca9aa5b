"""A recorded rollout seen again by a policy: what would it do, and does it differ?

Each prediction of the recording is compared with what a policy says of the very image (the same
JPEG bytes, found by its stamp) that the prediction was made from. The same artefact gives the same
actions; another one shows where it would have acted differently.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.encoder import Encoder
from vinn.errors import ArtefactMismatchError, DatasetError
from vinn.policies.episode import Episode
from vinn.policies.types import Policy, Prediction, unknown_step
from vinn.policies.vinn import VinnPolicy
from vinn.viz.timeline import (
    RecordedImage,
    RecordedPrediction,
    RolloutTimeline,
    load_timeline,
)

SAME_ACTION = 1e-6
"""Largest difference of translation and gripper that counts as the same action."""


@dataclass(frozen=True)
class ReplayedPrediction:
    """One image: what was said of it before, and what is said now."""

    recorded: RecordedPrediction
    replayed: Prediction

    @property
    def action_difference(self) -> float:
        """Largest absolute difference over translation and gripper value."""
        before, now = self.recorded.prediction, self.replayed
        delta = np.abs(now.camera_delta - before.camera_delta).max()
        return float(max(delta, abs(now.gripper_value - before.gripper_value)))

    @property
    def angle_rad(self) -> float:
        """Between the two translations; NaN where one of them does not move."""
        return angle_between(self.recorded.prediction.camera_delta, self.replayed.camera_delta)

    @property
    def length_difference(self) -> float:
        """Length now minus length before, in the policy's action scale."""
        before = np.linalg.norm(self.recorded.prediction.camera_delta)
        return float(np.linalg.norm(self.replayed.camera_delta) - before)

    @property
    def gripper_difference(self) -> float:
        """Gripper value now minus before, 0 (open) .. 3 (closed)."""
        return self.replayed.gripper_value - self.recorded.prediction.gripper_value

    @property
    def novelty_difference(self) -> float:
        """Novelty now minus before; NaN where one of them is unknown."""
        return self.replayed.novelty - self.recorded.prediction.novelty

    @property
    def neighbors_changed(self) -> int:
        """Frames that speak now and did not before (by demonstration and frame)."""
        before = {(n.demonstration, n.frame) for n in self.recorded.prediction.neighbors}
        return sum((n.demonstration, n.frame) not in before for n in self.replayed.neighbors)


@dataclass(frozen=True)
class ReplaySummary:
    """A whole replay in numbers. Differences of nothing are NaN."""

    predictions: int
    same_actions: int
    without_image: int
    max_action_difference: float
    angle_median_rad: float
    angle_max_rad: float
    length_difference_median: float
    gripper_difference_max: float
    neighbors_changed_mean: float
    novelty_difference_max: float
    recorded_s: float
    replay_s: float
    speed: float
    """Recorded time over replay time; above 1 is faster than real time."""

    def as_json(self) -> dict[str, float | int | None]:
        """The same with None for NaN."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Replay:
    """A replayed recording.

    Attributes:
        timeline: what was recorded.
        rows: one for each prediction whose image was recorded.
        without_image: predictions whose image was not recorded (made before it began).
        replay_s: reading, decoding and predicting [s].
    """

    timeline: RolloutTimeline
    rows: tuple[ReplayedPrediction, ...]
    without_image: int
    replay_s: float

    def summary(self) -> ReplaySummary:
        """The replay in numbers."""
        rows = self.rows
        different = [row.action_difference for row in rows]
        stamps = [row.recorded.stamp_ns for row in rows]
        recorded_s = (max(stamps) - min(stamps)) / 1e9 if stamps else 0.0
        return ReplaySummary(
            predictions=len(rows),
            same_actions=sum(difference <= SAME_ACTION for difference in different),
            without_image=self.without_image,
            max_action_difference=max(different, default=math.nan),
            angle_median_rad=_over([row.angle_rad for row in rows], np.median),
            angle_max_rad=_over([row.angle_rad for row in rows], np.max),
            length_difference_median=_over([r.length_difference for r in rows], np.median),
            gripper_difference_max=_over([abs(r.gripper_difference) for r in rows], np.max),
            neighbors_changed_mean=_over([float(r.neighbors_changed) for r in rows], np.mean),
            novelty_difference_max=_over([abs(r.novelty_difference) for r in rows], np.max),
            recorded_s=recorded_s,
            replay_s=self.replay_s,
            speed=recorded_s / self.replay_s if self.replay_s > 0 else math.inf,
        )


def replay_recording(
    recording: Path,
    policy: Policy,
    on_progress: Callable[[int, int], None] | None = None,
    encoder: Encoder | None = None,
) -> Replay:
    """Let `policy` predict for every recorded prediction's image.

    Predictions are made once per image, in the order of the recording, and each knows of the steps
    that the recorded one knew of. A nearest-neighbour policy's images, unless it has grasp points,
    are embedded ahead, as many at a time as `encoder` has streams.

    Args:
        recording: MCAP file of a rollout, whole or cut off, or a rosbag2 directory.
        policy: is reset first.
        on_progress: called with (predictions done, predictions in all).
        encoder: another instance of a nearest-neighbour policy's encoder; None: its own.

    Raises:
        DatasetError: not a recording, or no prediction in it has its image.
        ImageError: a recorded image is damaged.
        ArtefactMismatchError: `encoder` is another one than the policy's.
    """
    started_s = time.perf_counter()
    timeline = load_timeline(recording)
    images = {image.stamp_ns: image for image in timeline.wrist}
    known = [p for p in timeline.predictions if p.stamp_ns in images]
    if not known:
        raise DatasetError(
            f"{recording}: {len(timeline.predictions)} predictions and {len(images)} wrist images, "
            "none of which belong together; nothing to replay"
        )
    follower = _Follower(policy, timeline)
    rows = []
    replayed = _predictions(
        policy, encoder, [images[p.stamp_ns] for p in known], lambda i: follower.catch_up(known[i])
    )
    for done, (recorded, prediction) in enumerate(zip(known, replayed, strict=True), start=1):
        rows.append(ReplayedPrediction(recorded, prediction))
        follower.remember(recorded, prediction)
        if on_progress is not None:
            on_progress(done, len(known))
    elapsed_s = time.perf_counter() - started_s
    return Replay(timeline, tuple(rows), len(timeline.predictions) - len(known), elapsed_s)


def _predictions(
    policy: Policy,
    encoder: Encoder | None,
    images: Sequence[RecordedImage],
    before: Callable[[int], None],
) -> Iterator[Prediction]:
    """What the policy says of the images, in their order; `before` is called with each place."""
    # A policy with grasp points needs the image itself, not its embedding alone.
    if not isinstance(policy, VinnPolicy) or policy.grasp is not None:
        for place, image in enumerate(images):
            before(place)
            yield policy.predict(image.decode())
        return
    encoder = encoder or policy.encoder
    if encoder.hash != policy.encoder.hash:
        raise ArtefactMismatchError(
            f"encoder {encoder.name} has hash {encoder.hash[:12]}, the policy's "
            f"{policy.encoder.hash[:12]}"
        )
    resized = (encoder.preprocessing.resize(image.decode()) for image in images)
    for place, embedding in enumerate(encoder.encode_each(resized)):
        before(place)
        yield policy.predict_embedding(embedding)


class _Follower:
    """Takes a policy through a recorded rollout, step by step."""

    def __init__(self, policy: Policy, timeline: RolloutTimeline) -> None:
        self._episode = Episode(policy)
        self._reports = timeline.reports
        self._policy = policy
        # An old recording does not say what the policy knew: it advances by what was executed.
        self._executed = {p.sequence for _, p in timeline.steps_with_predictions()}

    def catch_up(self, recorded: RecordedPrediction) -> None:
        """Bring the policy to where it was when it said this."""
        position = recorded.position
        if position is None:
            return
        self._episode.tell_session(position.session)
        for report in self._reports:
            if report.session == position.session and report.step <= position.step:
                self._episode.tell_step(report)
        self._episode.catch_up()

    def remember(self, recorded: RecordedPrediction, prediction: Prediction) -> None:
        """This was said now instead."""
        self._episode.remember(recorded.sequence, prediction)
        if recorded.position is None and recorded.sequence in self._executed:
            self._policy.advance(prediction, unknown_step())


def replay_rows(replay: Replay) -> list[dict[str, Any]]:
    """One mapping for each prediction, for JSON."""
    start_ns = replay.timeline.start_ns
    return [
        {
            "time_s": (row.recorded.recorded_ns - start_ns) / 1e9,
            "sequence": row.recorded.sequence,
            "recorded_camera_delta": row.recorded.prediction.camera_delta.tolist(),
            "replayed_camera_delta": row.replayed.camera_delta.tolist(),
            "recorded_gripper": row.recorded.prediction.gripper_value,
            "replayed_gripper": row.replayed.gripper_value,
            "angle_rad": _finite(row.angle_rad),
            "length_difference": row.length_difference,
            "neighbors_changed": row.neighbors_changed,
            "recorded_novelty": _finite(row.recorded.prediction.novelty),
            "replayed_novelty": _finite(row.replayed.novelty),
        }
        for row in replay.rows
    ]


def angle_between(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Angle between two vectors (3,) [rad]; NaN where one is (nearly) zero.

    By atan2 of cross and dot product: acos of the normalised product cannot tell small angles.
    """
    if min(np.linalg.norm(first), np.linalg.norm(second)) < 1e-9:
        return math.nan
    cross = np.linalg.norm(np.cross(first, second))
    return float(math.atan2(cross, float(np.dot(first, second))))


def _over(values: Sequence[float], reduce: Callable[[Any], Any]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(reduce(finite)) if finite else math.nan


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
