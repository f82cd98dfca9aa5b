"""A successful rollout as a demonstration: what the robot really did, in the camera's frame.

Frame i is the image that step i was decided on; its action is the translation that was sent
(not the one that was predicted: scale, limits and corrections are in it), turned from base axes
into the camera's optical frame. A step that only opened or closed has zero translation.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import sha256_file
from vinn.demos.store import read_demonstration, write_demonstration
from vinn.demos.types import (
    ActionScale,
    CameraInfo,
    DemonstrationMeta,
    GripperState,
    check_name,
    new_meta,
)
from vinn.errors import DatasetError
from vinn.recordings.tracks import SentStep, load_tracks
from vinn.robot.config import CameraMount
from vinn.robot.kinematics import base_R_gripper, gripper_R_camera
from vinn.rollout.label import read_label
from vinn.rollout.reader import summarize_recording
from vinn.rollout.recording_files import recording_name
from vinn.viz.timeline import RecordedImage, RolloutTimeline, load_timeline

WRIST_YAW = "joint_wrist_yaw"
STANDING_M = 1e-4
"""A translation shorter than this is none."""


@dataclass(frozen=True)
class RolloutActions:
    """T steps of a rollout.

    Attributes:
        images: what each step was decided on.
        camera_delta_m: (T, 3) what was sent, in the optical frame of its image [m].
        gripper: (T,) state that the step led to, 0..3.
        driven: (T,) whether it was the operator's step.
    """

    images: tuple[RecordedImage, ...]
    camera_delta_m: NDArray[np.float64]
    gripper: NDArray[np.int8]
    driven: NDArray[np.bool_]

    def by_hand(self) -> RolloutActions:
        """The operator's steps alone."""
        return RolloutActions(
            tuple(image for image, mine in zip(self.images, self.driven, strict=True) if mine),
            self.camera_delta_m[self.driven],
            self.gripper[self.driven],
            self.driven[self.driven],
        )


def add_rollout(
    recording: Path,
    root: Path,
    mount: CameraMount,
    scale: ActionScale = ActionScale.METRIC,
    name: str | None = None,
    task: str = "door",
    force: bool = False,
    again: bool = False,
    driven_only: bool = False,
) -> Path:
    """Write the demonstration of a rollout to `root`.

    Args:
        recording: complete, and successful by its own verdict or the operator's label.
        root: folder of the dataset.
        mount: how the camera looked at what the gripper did.
        scale: of the dataset; UNIT keeps directions alone.
        name: of the demonstration; the recording's by default.
        task: kept in the meta data.
        force: take it although it did not succeed (a corrected rollout, say), lacks messages, or
            the clock was set meanwhile.
        again: a demonstration of that name that is the very same is taken for this one, as an
            earlier run that was killed left it.
        driven_only: take the steps alone that the operator drove: where the policy went astray
            before, it is not to be imitated.

    Raises:
        DatasetError: not a success, incomplete, messages missing, the clock set meanwhile, or
            without steps and images; the name is taken.
    """
    check_name(demonstration_name(recording, name))
    summary = summarize_recording(recording)
    label = read_label(recording)
    reason = (summary.outcome or {}).get("reason", "incomplete")
    success = label.success if label is not None else reason == "SUCCESS"
    if not success and not force:
        raise DatasetError(
            f"{recording}: ended by {reason}{'' if label is None else ', labelled a failure'}; "
            "allowed: a success, or --force"
        )
    if summary.messages_lost and not force:
        raise DatasetError(
            f"{recording}: {summary.messages_lost} messages are missing, since the disk was too "
            "slow; allowed: none, or --force"
        )
    if summary.jumps and not force:
        raise DatasetError(f"{recording}: {summary.clock_problem}; allowed: no jump, or --force")
    actions = rollout_actions(recording, mount)
    if driven_only:
        actions = actions.by_hand()
        if not actions.images:
            raise DatasetError(f"{recording}: no step was driven by hand")
    delta = actions.camera_delta_m
    if scale is ActionScale.UNIT:
        length = np.linalg.norm(delta, axis=1, keepdims=True)
        delta = np.divide(delta, length, out=np.zeros_like(delta), where=length > STANDING_M)
    frames = [image.decode() for image in actions.images]
    height_px, width_px = frames[0].shape[:2]
    meta = new_meta(
        name=demonstration_name(recording, name),
        task=task,
        camera=CameraInfo(name="wrist", width_px=width_px, height_px=height_px),
        action_scale=scale,
        provenance={
            "tool": "vinn demos add",
            "recording": recording.name,
            "sha256": sha256_file(recording, DatasetError) if recording.is_file() else "",
            "rollout": summary.info,
            "ended_by": reason,
            "driven_frames": np.flatnonzero(actions.driven).tolist(),
            "note": label.note if label else "",
        },
    )
    if again and _is_there(Path(root) / meta.name, meta, delta, actions.gripper):
        return Path(root) / meta.name
    return write_demonstration(root, meta, frames, delta, actions.gripper)


def demonstration_name(recording: Path, name: str | None) -> str:
    """What the demonstration of a recording is called: as asked for, or as the recording."""
    return recording_name(recording) if name is None else name


def _is_there(
    folder: Path,
    meta: DemonstrationMeta,
    delta: NDArray[np.float64],
    gripper: NDArray[np.int8],
) -> bool:
    """Whether a demonstration is what would be written: meta data, which hold the recording's hash,
    and actions.
    """
    if not folder.exists():
        return False
    found = read_demonstration(folder)
    return (
        found.meta == meta
        and np.array_equal(found.camera_delta, delta.astype(np.float32))
        and np.array_equal(found.gripper, gripper)
    )


def rollout_actions(recording: Path, mount: CameraMount) -> RolloutActions:
    """What was done in a rollout, step by step.

    Raises:
        DatasetError: no step has both its image and its end in the recording.
    """
    timeline = load_timeline(recording)
    tracks = load_tracks(recording)
    ended = {step.sequence: step for step in tracks.steps}
    images: list[RecordedImage] = []
    deltas: list[NDArray[np.float64]] = []
    gripper: list[int] = []
    driven: list[bool] = []
    by_hand = {asked.sequence for asked in timeline.driven}
    for step, prediction in timeline.steps_with_predictions():
        image = timeline.image_of(prediction)
        done = ended.get(step.sequence)
        if image is None or done is None:
            continue
        yaw_rad = _at(tracks.joints.get(WRIST_YAW, ()), step.recorded_ns)
        base_R_camera = base_R_gripper(yaw_rad) @ gripper_R_camera(mount)
        images.append(image)
        deltas.append(base_R_camera.T @ done.sent_base_delta_m)
        gripper.append(_state(done, prediction.prediction.gripper_value))
        driven.append(step.sequence in by_hand)
    if not images:
        raise DatasetError(f"{recording}: holds no step with its image; nothing to learn from")
    _check_motion(recording, timeline, deltas)
    return RolloutActions(
        tuple(images), np.array(deltas), np.array(gripper, np.int8), np.array(driven)
    )


def _state(step: SentStep, gripper_value: float) -> int:
    """Closed is closed; an open gripper that is about to close says so, as an expert's does."""
    if step.gripper_closed:
        return int(GripperState.CLOSED)
    return min(round(gripper_value), int(GripperState.ALMOST_OPEN))


def _at(series: Sequence[tuple[int, float]], time_ns: int) -> float:
    """The newest value at a time; 0 without any (a wrist that is held at 0)."""
    place = bisect.bisect_right([t for t, _ in series], time_ns)
    return series[max(0, place - 1)][1] if series else 0.0


def _check_motion(
    recording: Path, timeline: RolloutTimeline, deltas: Sequence[NDArray[np.float64]]
) -> None:
    if not all(math.isfinite(value) for delta in deltas for value in delta):
        raise DatasetError(f"{recording}: a step that was sent is not finite")
    if max(float(np.linalg.norm(delta)) for delta in deltas) < STANDING_M:
        raise DatasetError(
            f"{recording}: none of its {len(timeline.steps)} steps moved; nothing to learn from"
        )
