"""Adding demonstrations to a nearest-neighbour policy without building it anew.

Frames that are there keep their embeddings; only the new ones are encoded. Nearest neighbours need
no training, so that is all. The novelty limit stays: it is a property of the many, and calibrating
it compares every frame with every other.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vinn.demos.files import atomic_directory, sha256_file
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.encoders.artefact import read_manifest as read_encoder_manifest
from vinn.encoders.encoder import load_for_datasets
from vinn.errors import ArtefactError, ArtefactMismatchError
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.artefact import PolicyArtefact
from vinn.policies.artefacts.embedding import (
    EmbeddedDataset,
    Progress,
    check_embedded,
    embed_dataset,
)
from vinn.policies.artefacts.frames import write_frames
from vinn.policies.artefacts.half_precision import stored_as
from vinn.policies.artefacts.manifest import FRAME_COLUMNS, INDEX_FOLDER, write_manifest
from vinn.policies.grasp.point import GraspSource
from vinn.policies.kinds.nearest import (
    GRASP_FOLDER,
    METRIC_FILE,
    NOVELTY_FILE,
    NearestArtefact,
)
from vinn.policies.memory import ActionMemory
from vinn.policies.novelty import save_subspace
from vinn.reading.arrays import read_npy
from vinn.reading.tables import read_table
from vinn.retrieval.index import build_index, read_index_manifest, read_projection


def extend_policy(
    directory: Path,
    added: Dataset,
    out_dir: Path,
    on_progress: Progress | None = None,
    embedded: EmbeddedDataset | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write the policy of `directory` with more demonstrations to `out_dir`.

    Args:
        directory: artefact of kind "vinn"; stays as it is.
        added: demonstrations with actions in the artefact's scale, of names it does not have.
        out_dir: is made, and must not exist.
        on_progress: called with (frames encoded, frames in all).
        embedded: result of `embed_dataset` for the same demonstrations, if at hand.
        provenance: kept in the manifest beside what the artefact had.

    Raises:
        ArtefactError: not a nearest-neighbour policy, damaged, or `out_dir` exists.
        ArtefactMismatchError: the scale differs, or a demonstration is in it already.
        DatasetError: no actions, or a truncated frame.
    """
    artefact = open_extendable(directory, added.action_scale)
    settings = artefact.settings
    added, out_dir = added.with_actions(), Path(out_dir)
    _check_fits(artefact, added)
    views = settings.views
    with atomic_directory(out_dir, ArtefactError) as folder:
        if embedded is None:
            embedded = embed_dataset(
                added, load_for_datasets(directory / "encoder"), on_progress, views
            )
        check_embedded(embedded, added, read_encoder_manifest(directory / "encoder"), views)
        shutil.copytree(directory / "encoder", folder / "encoder")
        memory = _append_frames(artefact, added, folder, views)
        fresh = artefact.features.of_demonstrations(embedded.embeddings, memory.demonstration_ids)
        if settings.grasp_point is not None:
            detector, record = directory / GRASP_FOLDER, settings.grasp_point
            source = GraspSource(detector, record.settings, record.feature_unit)
            fresh = source.keyed(fresh, added, views)
            shutil.copytree(detector, folder / GRASP_FOLDER)
        added_rows = stored_as(fresh, settings.storage)
        np.save(folder / "embeddings.npy", np.concatenate([artefact.embeddings, added_rows]))
        if METRIC_FILE in artefact.manifest.files:
            shutil.copyfile(directory / METRIC_FILE, folder / METRIC_FILE)
        if artefact.subspace is not None:
            subspace = artefact.subspace.extended(embedded.embeddings)
            save_subspace(folder / NOVELTY_FILE, subspace)
        _extend_index(artefact, memory, folder)
        _finish(artefact, added, folder, out_dir.name, dict(provenance or {}))
    return out_dir


def open_extendable(directory: Path, scale: ActionScale) -> NearestArtefact:
    """A policy that demonstrations of this scale can be added to.

    Raises:
        ArtefactError: not a nearest-neighbour policy, or damaged.
        ArtefactMismatchError: its scale is another one.
    """
    artefact = open_artefact(directory)
    if not isinstance(artefact, NearestArtefact) or artefact.manifest.kind != "vinn":
        raise ArtefactError(
            f"{directory}: kind '{artefact.manifest.kind}' cannot be extended; allowed: vinn"
        )
    if scale is not artefact.manifest.action_scale:
        raise ArtefactMismatchError(
            f"{directory}: its action scale is {artefact.manifest.action_scale.value}, the "
            f"demonstrations' {scale.value}"
        )
    return artefact


def is_extension(out_dir: Path, directory: Path, names: Sequence[str]) -> bool:
    """Whether `out_dir` is what `extend_policy` made of `directory` and these demonstrations.

    Raises:
        ArtefactError: one of the two is damaged.
    """
    extended = open_artefact(out_dir).manifest.provenance.get("extended")
    return extended == _origin(open_artefact(directory), names)


def _check_fits(artefact: NearestArtefact, added: Dataset) -> None:
    there = set(artefact.memory.names)
    for demonstration in added.demonstrations:
        if demonstration.meta.name in there:
            raise ArtefactMismatchError(
                f"{artefact.directory}: holds a demonstration {demonstration.meta.name!r} already"
            )


def _append_frames(
    artefact: NearestArtefact, added: Dataset, folder: Path, views: Sequence[str]
) -> ActionMemory:
    """Write frames.parquet and thumbnails.bin of both, the new ones behind; return the new ones."""
    memory = write_frames(folder, added, views)
    new = read_table(folder / "frames.parquet", ArtefactError)
    old = read_table(artefact.directory / "frames.parquet", ArtefactError)
    old_bytes = (artefact.directory / "thumbnails.bin").stat().st_size
    offsets = pa.array(new["thumbnail_offset"].to_numpy() + old_bytes, pa.int64())
    place = FRAME_COLUMNS.get_field_index("thumbnail_offset")
    moved = new.set_column(place, FRAME_COLUMNS.field(place), offsets)
    pq.write_table(pa.concat_tables([old, moved]), folder / "frames.parquet")
    fresh = folder / "thumbnails.bin"
    behind = fresh.rename(folder / "thumbnails.new")
    shutil.copyfile(artefact.directory / "thumbnails.bin", fresh)
    with fresh.open("ab") as file:
        file.write(behind.read_bytes())
    behind.unlink()
    return memory


def _extend_index(artefact: NearestArtefact, added: ActionMemory, folder: Path) -> None:
    """Where the policy has an index, the longer one keeps its projection and its kind."""
    index = artefact.directory / INDEX_FOLDER
    if not index.is_dir():
        return
    before = artefact.memory.origin_ids
    ids = np.concatenate([before, added.origin_ids + int(before.max()) + 1])
    build_index(
        folder / INDEX_FOLDER,
        read_npy(folder / "embeddings.npy", ArtefactError, mapped=True),
        ids,
        sha256_file(folder / "embeddings.npy"),
        kind=read_index_manifest(index).kind,
        projection=read_projection(index),
    )


def _origin(artefact: PolicyArtefact[Any], names: Sequence[str]) -> dict[str, Any]:
    """What the provenance of an extended policy says."""
    return {
        "policy": artefact.manifest.name,
        "manifest": sha256_file(artefact.directory / "manifest.json"),
        "added": list(names),
    }


def _finish(
    artefact: NearestArtefact, added: Dataset, folder: Path, name: str, provenance: dict[str, Any]
) -> None:
    before = artefact.manifest
    both = hashlib.sha256(f"{before.dataset_hash}\n{added.hash}".encode()).hexdigest()
    extended = _origin(artefact, [found.meta.name for found in added.demonstrations])
    manifest = before.model_copy(
        update={
            "name": name,
            "demonstration_count": before.demonstration_count + len(added),
            "frame_count": before.frame_count + added.frame_count * len(artefact.settings.views),
            "dataset_hash": both,
            "files": {file: sha256_file(folder / file) for file in before.files},
            "provenance": {**before.provenance, **provenance, "extended": extended},
        }
    )
    write_manifest(folder, manifest)
