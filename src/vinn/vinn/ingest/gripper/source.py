"""Where the gripper states of a clip come from: a trained classifier, or ArUco markers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from vinn.demos.types import GripperState
from vinn.errors import ConfigError, DatasetError
from vinn.ingest.clip import ClipFolder
from vinn.ingest.gripper.aruco import ArucoGripper
from vinn.ingest.gripper.classifier import Crop, GripperClassifier
from vinn.ingest.lenses.camera_profile import CameraProfile
from vinn.reading.regular import parsing


class GripperSource(Protocol):
    """Says which gripper state each action frame of a clip shows."""

    @property
    def name(self) -> str:
        """For the provenance of what it labels."""

    def states(self, clip: ClipFolder) -> dict[int, GripperState]:
        """State by slot, for the clip's action frames."""


def open_source(path: str) -> GripperSource:
    """A classifier (.npz) or an ArUco profile (.yaml).

    Raises:
        ConfigError, ArtefactError: another kind of file, or a malformed one.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return ClassifierSource(GripperClassifier.load(Path(path)))
    if suffix in (".yaml", ".yml"):
        return ArucoSource(ArucoGripper.load(Path(path)))
    raise ConfigError(
        f"gripper states from '{path}': expected a classifier (.npz) or an ArUco profile (.yaml)"
    )


class ClassifierSource:
    """States by a trained classifier, smoothed over the clip."""

    name = "classifier"

    def __init__(self, classifier: GripperClassifier) -> None:
        self._classifier = classifier

    def states(self, clip: ClipFolder) -> dict[int, GripperState]:
        """State by slot."""
        slots = clip.action_slots(frames_per_step(clip))
        if not slots:
            return {}
        found = self._classifier.smoothed([clip.frame(slot) for slot in slots])
        return {slot: GripperState(int(s)) for slot, s in zip(slots, found, strict=True)}


class ArucoSource:
    """States by the distance of two markers."""

    name = "aruco"

    def __init__(self, gripper: ArucoGripper) -> None:
        self._gripper = gripper

    def states(self, clip: ClipFolder) -> dict[int, GripperState]:
        """State by slot.

        Raises:
            ConfigError: the markers are seen too rarely.
        """
        slots = clip.action_slots(frames_per_step(clip))
        if not slots:
            return {}
        lens = clip_profile(clip).output_lens
        distances = np.array([self._gripper.distance_m(clip.frame(slot), lens) for slot in slots])
        found = self._gripper.states(distances)
        return {slot: GripperState(int(s)) for slot, s in zip(slots, found, strict=True)}


def frames_per_step(clip: ClipFolder) -> int:
    """Sampling periods of a step in this clip.

    Raises:
        DatasetError: the clip's key.json is damaged.
    """
    with parsing(clip.path / "key.json", DatasetError, "what a clip was made from"):
        return int(clip.key["settings"]["frames_per_step"])


def clip_profile(clip: ClipFolder) -> CameraProfile:
    """The camera profile that the clip was made with.

    Raises:
        DatasetError: the clip's key.json is damaged.
    """
    with parsing(clip.path / "key.json", DatasetError, "what a clip was made from"):
        return CameraProfile.model_validate(clip.key["profile"])


def default_crop(profile: CameraProfile) -> Crop:
    """The box around the profile's gripper mask.

    Raises:
        ConfigError: the profile has no gripper mask.
    """
    mask = profile.mask()
    if mask is None:
        raise ConfigError(
            f"camera profile '{profile.name}' has no gripper_mask; say where the gripper is with "
            "--crop left,top,right,bottom"
        )
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return (
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )
