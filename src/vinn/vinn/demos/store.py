"""Datasets: the demonstrations of one root folder, opened, hashed, split and validated.

A root holds one folder per demonstration (`vinn.demos.layout`). Entries that start with a dot are
not read: they are demonstrations being written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vinn.demos.checksums import CHECKSUMS
from vinn.demos.files import sha256_file
from vinn.demos.frames import read_frame
from vinn.demos.layout import (
    check_frame_size,
    read_demonstration,
    read_with_hashes,
    write_demonstration,
)
from vinn.demos.types import ActionScale, Demonstration, DemonstrationMeta
from vinn.errors import DatasetError

__all__ = [
    "Dataset",
    "ValidationReport",
    "read_demonstration",
    "read_frame",
    "validate_dataset",
    "write_demonstration",
]


@dataclass(frozen=True)
class Dataset:
    """Demonstrations of one root, sorted by name. Frames stay on disk.

    Attributes:
        root: the folder they were read from.
        demonstrations: at least one.
        frame_hashes: for each demonstration, the SHA-256 of each frame's file as it was written.
    """

    root: Path
    demonstrations: tuple[Demonstration, ...]
    frame_hashes: tuple[tuple[str, ...], ...]

    @classmethod
    def open(cls, root: Path) -> Dataset:
        """Open a dataset with cheap checks: tables are read, frames must exist and be non-empty.

        Raises:
            DatasetError: no such folder, no demonstration in it, or a malformed one (named).
        """
        root = Path(root)
        demonstrations, hashes = [], []
        for folder in _demonstration_folders(root):
            demonstration, frame_hashes = read_with_hashes(folder)
            demonstrations.append(demonstration)
            hashes.append(frame_hashes)
        dataset = cls(root, tuple(demonstrations), tuple(hashes))
        dataset._check_one_scale()
        return dataset

    def __len__(self) -> int:
        return len(self.demonstrations)

    @property
    def frame_count(self) -> int:
        """Frames over all demonstrations."""
        return sum(len(demonstration) for demonstration in self.demonstrations)

    @property
    def action_scale(self) -> ActionScale:
        """The scale all demonstrations with actions share.

        Raises:
            DatasetError: no demonstration has actions.
        """
        for demonstration in self.demonstrations:
            if demonstration.meta.has_actions:
                return demonstration.meta.action_scale
        raise DatasetError(f"{self.root}: no demonstration has actions, only frames")

    @cached_property
    def hash(self) -> str:
        """SHA-256 over names, scales, actions, gripper states and frame hashes.

        It depends on contents alone: not on the root's place, file times or provenance.
        """
        digest = hashlib.sha256()
        for demonstration, frame_hashes in zip(self.demonstrations, self.frame_hashes, strict=True):
            meta = demonstration.meta
            head = (
                meta.name,
                meta.action_scale.value,
                str(meta.has_actions),
                str(len(frame_hashes)),
            )
            digest.update("\n".join((*head, *frame_hashes, "")).encode())
            digest.update(demonstration.camera_delta.astype("<f4").tobytes())
            digest.update(demonstration.gripper.astype("<i1").tobytes())
        return digest.hexdigest()

    def with_actions(self) -> Dataset:
        """Only the demonstrations that have actions.

        Raises:
            DatasetError: none has.
        """
        self.action_scale  # noqa: B018  (raises where there is none)
        return self._subset(
            [i for i, demo in enumerate(self.demonstrations) if demo.meta.has_actions]
        )

    def only(self, *names: str) -> Dataset:
        """The demonstrations of these names.

        Raises:
            DatasetError: there is none of that name.
        """
        places = {d.meta.name: i for i, d in enumerate(self.demonstrations)}
        for name in names:
            if name not in places:
                raise DatasetError(f"{self.root}: no demonstration {name!r}")
        return self._subset(sorted(places[name] for name in names))

    def split(self, fractions: Mapping[str, float], seed: int) -> dict[str, Dataset]:
        """Split by demonstration into disjoint datasets; the same seed gives the same split.

        Args:
            fractions: share of the demonstrations per part, each in (0, 1], together at most 1.
                Together 1 uses every demonstration.
            seed: of the permutation.

        Raises:
            DatasetError: bad fractions, or a part would be empty.
        """
        total = sum(fractions.values())
        if not fractions or min(fractions.values()) <= 0 or total > 1 + 1e-9:
            raise DatasetError(
                f"split fractions must each be > 0 and sum to at most 1, got {dict(fractions)}"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        ends = np.rint(np.cumsum(list(fractions.values())) * len(self)).astype(int)
        parts: dict[str, Dataset] = {}
        start = 0
        for name, end in zip(fractions, ends, strict=True):
            if end <= start:
                raise DatasetError(
                    f"{self.root}: part '{name}' ({fractions[name]:g} of {len(self)} "
                    "demonstrations) would be empty"
                )
            parts[name] = self._subset(sorted(order[start:end].tolist()))
            start = int(end)
        return parts

    def _subset(self, indices: Sequence[int]) -> Dataset:
        return Dataset(
            self.root,
            tuple(self.demonstrations[i] for i in indices),
            tuple(self.frame_hashes[i] for i in indices),
        )

    def _check_one_scale(self) -> None:
        first: DemonstrationMeta | None = None
        for demonstration in self.demonstrations:
            meta = demonstration.meta
            if not meta.has_actions:
                continue
            if first is None:
                first = meta
            elif meta.action_scale != first.action_scale:
                raise DatasetError(
                    f"{self.root}: action scales differ: {first.name} is "
                    f"{first.action_scale.value}, {meta.name} is {meta.action_scale.value}"
                )


@dataclass(frozen=True)
class ValidationReport:
    """What `validate_dataset` found.

    Attributes:
        demonstrations: folders that were read without an error.
        frames: frames that were decoded without an error.
        bad: errors found, one line each, in the order found.
        first_bad_file: file named by the first error; None if there is none.
        unlisted: demonstrations without SHA256SUMS: what changed in their tables, none can tell.
    """

    demonstrations: int
    frames: int
    bad: tuple[str, ...]
    first_bad_file: Path | None
    unlisted: int = 0

    @property
    def ok(self) -> bool:
        """True if nothing bad was found."""
        return not self.bad


def validate_dataset(
    root: Path, on_progress: Callable[[int, int], None] | None = None
) -> ValidationReport:
    """Read everything of a dataset: tables, hashes, and every frame decoded.

    Args:
        root: folder of the dataset.
        on_progress: called with (demonstrations done, demonstrations in all).

    Raises:
        DatasetError: there is no demonstration to validate.
    """
    folders = _demonstration_folders(Path(root))
    good, frames = 0, 0
    bad: list[tuple[str, Path]] = []
    for done, folder in enumerate(folders, start=1):
        before = len(bad)
        try:
            demonstration, hashes = read_with_hashes(folder)
        except DatasetError as error:
            bad.append((str(error), folder))
        else:
            for path, expected in zip(demonstration.frame_paths, hashes, strict=True):
                problem = _frame_problem(path, demonstration.meta, expected)
                if problem is None:
                    frames += 1
                else:
                    bad.append((problem, path))
        good += len(bad) == before
        if on_progress is not None:
            on_progress(done, len(folders))
    return ValidationReport(
        good,
        frames,
        tuple(text for text, _ in bad),
        bad[0][1] if bad else None,
        sum(not os.path.lexists(folder / CHECKSUMS) for folder in folders),
    )


def _frame_problem(path: Path, meta: DemonstrationMeta, expected_sha256: str) -> str | None:
    """What is wrong with one frame's file, or None."""
    try:
        check_frame_size(read_frame(path), meta, str(path))
    except DatasetError as error:
        return str(error)
    found = sha256_file(path, DatasetError)
    if found == expected_sha256:
        return None
    return (
        f"{path}: changed since it was written: sha256 {found[:12]}, "
        f"frames.parquet has {expected_sha256[:12]}"
    )


def _demonstration_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder of demonstrations")
    folders = [
        entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    ]
    if not folders:
        raise DatasetError(f"{root}: no demonstrations in this folder")
    return sorted(folders, key=lambda folder: folder.name)
