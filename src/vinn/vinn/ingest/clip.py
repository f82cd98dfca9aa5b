"""One clip on its way to a demonstration: its work folder, stage by stage, resumable.

    NAME/key.json          what the stages were made from; another key starts over
    NAME/frames/*.jpg      sampled frames that are reconstructed, frames.json: slots and sharpness
    NAME/stored/*.jpg      frames as the demonstration stores them, where the profile differs
    NAME/evidence.npz      both mappers' answers and what else verdicts stand on
    NAME/assessment.json   steps and verdict
    NAME/gripper.json      gripper state seen in each action frame

Every file appears whole: written under a temporary name, then renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_file
from vinn.demos.frames import encode_jpeg, read_frame
from vinn.demos.types import GripperState
from vinn.errors import DatasetError
from vinn.ingest.decode import SampledFrame
from vinn.ingest.film import Film
from vinn.ingest.motion.mappers import Mapping
from vinn.ingest.motion.sfm import Reconstruction
from vinn.ingest.motion.steps import Assessment
from vinn.reading.arrays import read_npz
from vinn.reading.documents import read_json
from vinn.reading.regular import parsing

MANUAL = "manual"
"""Source of gripper states that a person gave."""
_LABELS = "gripper.json"
_MAPPING_ARRAYS = ("segment", "world_centre", "camera_from_world", "observations")


@dataclass(frozen=True)
class Evidence:
    """What verdicts stand on: poses, and (M,) the share of the picture each step explains.

    A reconstruction that was read from disk has no `step_matches`.
    """

    reconstruction: Reconstruction
    consistent: NDArray[np.float64]


class ClipFolder:
    """The work folder of one clip.

    Args:
        path: made if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    @property
    def frames_dir(self) -> Path:
        """Folder of the sampled frames."""
        return self.path / "frames"

    def start(self, key: dict[str, Any]) -> None:
        """Keep the stages if they were made from `key`, else remove them; labels stay.

        What the film's file is called does not count.

        Raises:
            DatasetError: the folder is of another film, holds something else, cannot be written, or
                has manual labels of frames that were sampled in another way.
        """
        known = self._read("key.json")
        if known is None:
            if self.path.exists() and any(self.path.iterdir()):
                raise DatasetError(f"{self.path}: exists and is not a clip's work folder")
            self.path.mkdir(parents=True, exist_ok=True)
            self.write("key.json", key)
            return
        if Film.of_key(known) != Film.of_key(key):
            raise DatasetError(
                f"{self.path}: is of another film: {_described(known)}, not {_described(key)}"
            )
        if {**known, "video": None} == {**key, "video": None}:
            return
        labels = self._read(_LABELS) if self.gripper_source == MANUAL else None
        if labels is not None and _sampling(known) != _sampling(key):
            raise DatasetError(
                f"{self.path}: has {len(labels['states'])} manual labels of frames that would be "
                "sampled in another way now; choose another --out, or move the folder away"
            )
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        if labels is not None:
            self.write(_LABELS, labels)
        self.write("key.json", key)

    def write(self, name: str, content: Any) -> None:
        """Write a JSON file atomically."""
        with atomic_file(self.path / name, DatasetError) as file:
            file.write((json.dumps(content, indent=1) + "\n").encode())

    def _read(self, name: str) -> Any:
        path = self.path / name
        return read_json(path, DatasetError) if os.path.lexists(path) else None

    # --- frames ------------------------------------------------------------------------------

    def write_frames(
        self, frames: Iterable[tuple[SampledFrame, NDArray[np.uint8] | None, float]]
    ) -> None:
        """Store sampled frames as they come: (frame, its stored view or None, sharpness)."""
        partial = self.path / ".frames.partial"
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "frames").mkdir(parents=True)
        (partial / "stored").mkdir()
        rows = []
        for frame, stored, sharp in frames:
            name = f"{frame.slot:06d}.jpg"
            (partial / "frames" / name).write_bytes(encode_jpeg(frame.image_rgb))
            if stored is not None:
                (partial / "stored" / name).write_bytes(encode_jpeg(stored))
            rows.append({"slot": frame.slot, "time_s": frame.time_s, "sharpness": sharp})
        for part in ("frames", "stored"):
            shutil.rmtree(self.path / part, ignore_errors=True)
            (partial / part).rename(self.path / part)
        shutil.rmtree(partial)
        self.write("frames.json", rows)

    @property
    def frames(self) -> list[dict[str, float]] | None:
        """Rows {slot, time_s, sharpness} of the sampled frames; None before that stage."""
        found: list[dict[str, float]] | None = self._read("frames.json")
        with parsing(self.path / "frames.json", DatasetError, "rows of sampled frames"):
            for row in found or []:
                _ = int(row["slot"]), float(row["time_s"]), float(row["sharpness"])
        return found

    @property
    def slots(self) -> list[int]:
        """Sample times of the frames, in sampling periods."""
        return [int(row["slot"]) for row in self.frames or []]

    def frame(self, slot: int) -> NDArray[np.uint8]:
        """A sampled frame, (H, W, 3) uint8 RGB."""
        return read_frame(self.frames_dir / f"{slot:06d}.jpg")

    def stored_frame(self, slot: int) -> NDArray[np.uint8]:
        """The frame as a demonstration stores it."""
        path = self.path / "stored" / f"{slot:06d}.jpg"
        return read_frame(path) if path.exists() else self.frame(slot)

    def action_slots(self, frames_per_step: int) -> list[int]:
        """Slots at which steps begin or end and a frame exists."""
        return [slot for slot in self.slots if slot % frames_per_step == 0]

    def write_evidence(self, evidence: Evidence) -> None:
        """Store what verdicts stand on."""
        arrays: dict[str, NDArray[Any]] = {
            "still": evidence.reconstruction.still,
            "consistent": evidence.consistent,
        }
        for mapping in (evidence.reconstruction.incremental, evidence.reconstruction.global_):
            for name in _MAPPING_ARRAYS:
                arrays[f"{mapping.mapper}_{name}"] = getattr(mapping, name)
            numbers = (mapping.models, mapping.points, mapping.reprojection_error_px)
            arrays[f"{mapping.mapper}_numbers"] = np.array(numbers, np.float64)
        with atomic_file(self.path / "evidence.npz", DatasetError) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @property
    def evidence(self) -> Evidence | None:
        """What verdicts stand on; None before that stage."""
        path = self.path / "evidence.npz"
        if not path.exists():
            return None
        found = read_npz(path, DatasetError)
        with parsing(path, DatasetError, "what both mappers found; remove the folder to redo it"):
            incremental, global_ = (
                Mapping(
                    mapper=mapper,
                    models=int(found[f"{mapper}_numbers"][0]),
                    points=int(found[f"{mapper}_numbers"][1]),
                    reprojection_error_px=float(found[f"{mapper}_numbers"][2]),
                    **{name: found[f"{mapper}_{name}"] for name in _MAPPING_ARRAYS},
                )
                for mapper in ("incremental", "global")
            )
            reconstruction = Reconstruction(incremental, global_, found["still"], ())
            return Evidence(reconstruction, found["consistent"])

    # --- verdict and labels --------------------------------------------------------------------

    @property
    def assessment(self) -> Assessment | None:
        """Steps and verdict; None before that stage."""
        found = self._read("assessment.json")
        with parsing(self.path / "assessment.json", DatasetError, "steps and a verdict"):
            return None if found is None else Assessment.from_json(found)

    def write_assessment(self, assessment: Assessment) -> None:
        """Store the verdict."""
        self.write("assessment.json", assessment.to_json())

    @property
    def key(self) -> dict[str, Any]:
        """What the stages were made from.

        Raises:
            DatasetError: not a clip's work folder.
        """
        found = self._read("key.json")
        if not isinstance(found, dict):
            raise DatasetError(f"{self.path}: not a clip's work folder (no key.json)")
        return found

    @property
    def gripper_states(self) -> dict[int, GripperState]:
        """Slot to the gripper state seen in it, for labelled frames."""
        found = self._read(_LABELS) or {"states": {}}
        with parsing(self.path / _LABELS, DatasetError, "gripper states by slot"):
            return {int(slot): GripperState(state) for slot, state in found["states"].items()}

    @property
    def gripper_source(self) -> str | None:
        """Where the gripper states come from; None without any."""
        found = self._read(_LABELS)
        with parsing(self.path / _LABELS, DatasetError, "gripper states by slot"):
            return None if found is None else str(found["source"])

    def write_gripper(self, source: str, states: dict[int, GripperState]) -> None:
        """Store gripper states by slot."""
        plain = {str(slot): int(state) for slot, state in sorted(states.items())}
        self.write(_LABELS, {"source": source, "states": plain})


def _sampling(key: dict[str, Any]) -> tuple[Any, ...]:
    """What says which frame a slot is."""
    settings = key.get("settings") or {}
    return tuple(settings.get(name) for name in ("action_rate_hz", "frames_per_step", "start_s"))


def _described(key: dict[str, Any]) -> str:
    film = Film.of_key(key)
    mark = "unknown" if film is None else film.sha256[:12]
    return f"{key.get('video', 'a video')} (sha256 {mark})"


def clip_folders(work_root: Path) -> list[ClipFolder]:
    """All clips under a work folder, by name.

    Raises:
        DatasetError: there is none.
    """
    root = Path(work_root)
    found = [ClipFolder(p.parent) for p in sorted(root.glob("*/key.json"))] if root.is_dir() else []
    if not found:
        raise DatasetError(f"{root}: no ingested clips in this folder")
    return found
