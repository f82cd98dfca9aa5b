"""What stays of a recorded rollout for tables and plots, and its video."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.evaluation.statistics import opened_at_first
from vinn.policies.artefact import open_artefact
from vinn.recordings.latency import stage_latencies, stamp_to_command
from vinn.recordings.rollout_video import write_rollout_video
from vinn.rollout.label import read_label
from vinn.rollout.reader import summarize_recording
from vinn.viz import style
from vinn.viz.mosaic import fit_image
from vinn.viz.timeline import RolloutTimeline, load_timeline


@dataclass(frozen=True)
class RolloutDigest:
    """One rollout, small enough to keep many.

    Attributes:
        recording: the MCAP file.
        policy: which policy drove, as named by the caller.
        cabinet: from the simulated scene; empty on a robot.
        opened: the door reached 30 degrees; without a scene, the operator's label.
        grasped, fully_opened: from the scene.
        attempts: closings of the gripper begun; None where the recording does not say.
        condition: what sets it apart from other rollouts of the policy, a difficulty for example,
            as named by the caller; empty: nothing.
        reason: why it ended; empty if the recording is incomplete.
        steps: taken on by the executor.
        duration_s: wall time.
        angle_deg: (N, 2) seconds since the start and the door's angle.
        stages_s: seconds of every prediction, by stage.
        stamp_to_command_s: seconds from camera stamp to command, one for each step.
        frame_stamps_ns: stamps of the recorded wrist images.
        video: the mp4, if one was made.
        poster_rgb: a still of it.
    """

    recording: Path
    policy: str
    cabinet: str
    opened: bool
    grasped: bool
    fully_opened: bool
    reason: str
    steps: int
    duration_s: float
    angle_deg: NDArray[np.float64]
    stages_s: dict[str, NDArray[np.float64]]
    stamp_to_command_s: NDArray[np.float64]
    frame_stamps_ns: NDArray[np.int64]
    video: Path | None = None
    poster_rgb: NDArray[np.uint8] | None = None
    attempts: int | None = None
    condition: str = ""

    @property
    def first_attempt(self) -> bool | None:
        """Whether the door was opened without a second closing; None: not known."""
        return opened_at_first(self.opened, self.attempts)

    @property
    def final_angle_deg(self) -> float:
        """The door's angle at the end; NaN without a scene."""
        return float(self.angle_deg[-1, 1]) if len(self.angle_deg) else math.nan


def digest_recording(
    recording: Path,
    policy: str,
    artefact: Path | None = None,
    video: Path | None = None,
) -> RolloutDigest:
    """Read a recording, and make its video.

    Args:
        recording: MCAP file of one rollout, complete or cut off.
        policy: name under which the rollout is counted.
        artefact: policy artefact that the thumbnails of neighbours come from.
        video: where the mp4 goes; None makes none, and neither does a rollout without a step.

    Raises:
        DatasetError: not a recording of a rollout.
        ArtefactError: the artefact is malformed.
    """
    timeline = load_timeline(recording)
    summary = summarize_recording(recording)
    outcome = summary.outcome or {}
    label = read_label(recording)
    poster: list[NDArray[np.uint8]] = []
    if not timeline.steps_with_predictions():
        video = None
    if video is not None:
        thumbnail = _no_thumbnail if artefact is None else open_artefact(artefact).thumbnail
        title = f"{timeline.cabinet}  ·  {policy}" if timeline.cabinet else policy
        write_rollout_video(timeline, video, thumbnail, title, poster.append)
    last = timeline.scene[-1] if timeline.scene else None
    return RolloutDigest(
        recording=recording,
        policy=policy,
        cabinet=timeline.cabinet,
        opened=last.opened if last else bool(label and label.success),
        grasped=bool(last and last.grasped),
        fully_opened=bool(last and last.fully_opened),
        attempts=summary.attempts,
        reason=outcome.get("reason", ""),
        steps=len(timeline.steps),
        duration_s=(timeline.end_ns - timeline.start_ns) / 1e9,
        angle_deg=_angles(timeline),
        stages_s=stage_latencies([timeline]),
        stamp_to_command_s=stamp_to_command([timeline]),
        frame_stamps_ns=np.array([image.stamp_ns for image in timeline.wrist], dtype=np.int64),
        video=video,
        poster_rgb=_halved(poster[0]) if poster else None,
    )


def _angles(timeline: RolloutTimeline) -> NDArray[np.float64]:
    rows = [
        ((moment.recorded_ns - timeline.start_ns) / 1e9, math.degrees(moment.door_angle_rad))
        for moment in timeline.scene
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _halved(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image_rgb.shape[:2]
    return fit_image(image_rgb, height // 2, width // 2)


def _no_thumbnail(index: int) -> NDArray[np.uint8]:
    """Stands for the picture of neighbour `index` where the artefact is not at hand."""
    return np.full((64, 64, 3), style.PANEL, np.uint8)
