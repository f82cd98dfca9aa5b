"""Checking a policy artefact as a whole: every file, every row, and what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vinn.demos.checksums import CHECKSUMS, read_checksums
from vinn.demos.files import sha256_file
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactError, VinnError
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.artefact import PolicyArtefact
from vinn.policies.artefacts.manifest import sealed_files
from vinn.policies.kinds.nearest import NearestArtefact

_EMBEDDED_AGAIN = 16
"""Frames; the others have the hash of the file in common with them."""
_TOLERANCE = 0.01
"""Of an embedding's length; another processor's arithmetic differs by far less."""


@dataclass(frozen=True)
class Verification:
    """What `verify_artefact` found.

    Attributes:
        files: that were held against their hash.
        problems: one line each; empty: all is well.
        sealed: the artefact lists the hashes of all its files; those made before there was such a
            list have the hashes of data and network alone, and not of manifest.json.
    """

    files: int
    problems: tuple[str, ...]
    sealed: bool


def verify_artefact(directory: Path, dataset: Dataset | None = None) -> Verification:
    """Check an artefact: hashes of all files, rows, thumbnails, search, and one prediction.

    Args:
        directory: of the artefact.
        dataset: demonstrations; those that the artefact has must have the same actions, and some
            frames are embedded again.

    Raises:
        ArtefactError: there is no such folder.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise ArtefactError(f"{directory}: no such policy artefact")
    problems: list[str] = []
    files, sealed = 0, False
    try:
        listed = read_checksums(directory, ArtefactError)
        sealed = listed is not None
        problems += _of_files(directory, listed or {}) if sealed else ()
        files = len(listed or {})
        artefact = open_artefact(directory)
        files = files or len(artefact.manifest.files)
        problems += _of_rows(artefact)
        problems += _of_prediction(artefact)
        if dataset is not None:
            problems += _of_demonstrations(artefact, dataset)
    except VinnError as error:
        problems.append(str(error))
    return Verification(files, tuple(dict.fromkeys(problems)), sealed)


def _of_files(directory: Path, listed: dict[str, str]) -> Iterator[str]:
    there = sealed_files(directory)
    for name, expected in listed.items():
        path = directory / name
        if name not in there:
            yield f"{path}: missing; {CHECKSUMS} lists it"
            continue
        try:
            found = sha256_file(path, ArtefactError)
        except ArtefactError as error:
            yield str(error)
            continue
        if found != expected:
            yield f"{path}: changed: sha256 {found[:12]}, {CHECKSUMS} has {expected[:12]}"
    for name in sorted(there - set(listed)):
        yield f"{directory / name}: {CHECKSUMS} does not list it"


def _of_rows(artefact: PolicyArtefact[Any]) -> Iterator[str]:
    memory, where = artefact.memory, artefact.directory / "frames.parquet"
    for number, name in enumerate(memory.names):
        frames = memory.frames[memory.demonstration_ids == number]
        if not np.array_equal(frames, np.arange(len(frames))):
            yield f"{where}: the frames of {name} are not 0..{len(frames) - 1} in order"
    try:
        for row in range(len(memory)):
            artefact.thumbnail(row)
    except ArtefactError as error:
        yield str(error)


def _of_prediction(artefact: PolicyArtefact[Any]) -> Iterator[str]:
    prediction = artefact.policy().predict(artefact.thumbnail(0))
    if not np.isfinite(prediction.camera_delta).all():
        yield f"{artefact.directory}: predicts {prediction.camera_delta.tolist()}; not finite"


def _of_demonstrations(artefact: PolicyArtefact[Any], dataset: Dataset) -> Iterator[str]:
    memory = artefact.memory
    there = {demonstration.meta.name: demonstration for demonstration in dataset.demonstrations}
    known: list[tuple[int, Path]] = []
    for number, name in enumerate(memory.names):
        demonstration = there.get(name)
        if demonstration is None:
            continue
        rows = np.flatnonzero(memory.demonstration_ids == number)
        same = np.array_equal(
            memory.camera_delta[rows], demonstration.camera_delta
        ) and np.array_equal(memory.gripper[rows], demonstration.gripper)
        if not same:
            yield f"{artefact.directory}: its actions of {name} are not those in {dataset.root}"
        else:
            known += zip(rows.tolist(), demonstration.frame_paths, strict=True)
    if not known:
        yield f"{dataset.root}: has none of the demonstrations of {artefact.directory}"
    elif isinstance(artefact, NearestArtefact) and artefact.settings.context == 1:
        yield from _of_embeddings(artefact, known)


def _of_embeddings(artefact: NearestArtefact, known: list[tuple[int, Path]]) -> Iterator[str]:
    chosen = np.linspace(0, len(known) - 1, min(len(known), _EMBEDDED_AGAIN)).astype(int)
    encoder = load_encoder(artefact.directory / "encoder")
    for place in chosen:
        row, path = known[place]
        fresh = artefact.features.of_demonstrations(
            encoder.embed([read_frame(path)]), np.zeros(1, np.int64)
        )[0]
        # What follows is the key of grasp points, which the frame alone does not tell.
        stored = np.asarray(artefact.embeddings[row, : len(fresh)], np.float32)
        off = float(np.linalg.norm(fresh - stored))
        if off > _TOLERANCE * max(float(np.linalg.norm(fresh)), 1e-6):
            yield (
                f"{artefact.directory / 'embeddings.npy'}: row {row} is {off:.3g} off what the "
                f"encoder gives for {path}"
            )
            return
