"""Demonstrations added to a nearest-neighbour policy or taken out, without building it anew.

Frames that are there keep their embeddings; only new ones are encoded. Nearest neighbours need no
training, so that is all. When frames are added the novelty limit stays: it is a property of the
many, and calibrating it compares every frame with every other. When some are taken out it is
calibrated on those that stay: what was taken out is unknown again.
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
from numpy.typing import NDArray

from vinn.demos.files import atomic_directory, sha256_file
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.encoders.artefact import read_manifest as read_encoder_manifest
from vinn.encoders.encoder import load_for_datasets
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
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
from vinn.policies.augmentation import origin_name
from vinn.policies.build import calibrate_novelty_limit
from vinn.policies.grasp.point import GraspSource
from vinn.policies.kinds.nearest import (
    GRASP_FOLDER,
    METRIC_FILE,
    NOVELTY_FILE,
    NearestArtefact,
    VinnSettings,
)
from vinn.policies.memory import ActionMemory
from vinn.policies.novelty import NoveltyMeasure, calibrated_subspace, cells_of, save_subspace
from vinn.reading.arrays import read_npy
from vinn.reading.tables import read_table
from vinn.retrieval.index import build_index, read_index_manifest


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
        _copy_unchanged(artefact, folder)
        memory = _append_frames(artefact, added, folder, views)
        fresh = artefact.features.of_demonstrations(embedded.embeddings, memory.demonstration_ids)
        if settings.grasp_point is not None:
            detector, record = directory / GRASP_FOLDER, settings.grasp_point
            source = GraspSource(detector, record.settings, record.feature_unit)
            fresh = source.keyed(fresh, added, views)
        added_rows = stored_as(fresh, settings.storage)
        np.save(folder / "embeddings.npy", np.concatenate([artefact.embeddings, added_rows]))
        if artefact.subspace is not None:
            subspace = artefact.subspace.extended(embedded.embeddings)
            save_subspace(folder / NOVELTY_FILE, subspace)
        before = artefact.memory.origin_ids
        ids = np.concatenate([before, memory.origin_ids + int(before.max()) + 1])
        _index_anew(artefact, ids, folder)
        _finish_extended(artefact, added, folder, out_dir.name, dict(provenance or {}))
    return out_dir


def remove_demonstrations(directory: Path, names: Sequence[str], out_dir: Path) -> Path:
    """Write the policy of `directory` without some demonstrations, in all their views.

    Args:
        directory: artefact of kind "vinn"; stays as it is.
        names: demonstrations that it has.
        out_dir: is made, and must not exist.

    Raises:
        ArtefactError: not a nearest-neighbour policy, damaged, `out_dir` exists, or novelty is
            measured on embeddings that a metric has replaced.
        ConfigError: it has no such demonstration, or fewer frames than k would stay.
    """
    artefact, out_dir = _open_editable(directory, "lose demonstrations"), Path(out_dir)
    settings = artefact.settings
    if settings.novelty is NoveltyMeasure.SUBSPACE and settings.metric_dimension is not None:
        raise ArtefactError(
            f"{directory}: novelty is measured on embeddings, of which a metric keeps only a part; "
            "build it anew"
        )
    rows = _rows_that_stay(artefact, names, settings.k)
    ids = artefact.memory.origin_ids[rows]
    with atomic_directory(out_dir, ArtefactError) as folder:
        _copy_unchanged(artefact, folder)
        embeddings = artefact.embeddings[rows]
        np.save(folder / "embeddings.npy", embeddings)
        _keep_frames(artefact, rows, folder)
        limit = _calibrate(folder, settings, embeddings, ids)
        _index_anew(artefact, ids, folder)
        settings = settings.model_copy(update={"novelty_limit": limit})
        _finish_shortened(artefact, settings, names, len(rows), folder, out_dir.name)
        open_artefact(folder)
    return out_dir


def open_extendable(directory: Path, scale: ActionScale) -> NearestArtefact:
    """A policy that demonstrations of this scale can be added to.

    Raises:
        ArtefactError: not a nearest-neighbour policy, or damaged.
        ArtefactMismatchError: its scale is another one.
    """
    artefact = _open_editable(directory, "be extended")
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


# What both do


def _open_editable(directory: Path, what: str) -> NearestArtefact:
    artefact = open_artefact(directory)
    if not isinstance(artefact, NearestArtefact) or artefact.manifest.kind != "vinn":
        raise ArtefactError(
            f"{directory}: kind '{artefact.manifest.kind}' cannot {what}; allowed: vinn"
        )
    return artefact


def _copy_unchanged(artefact: NearestArtefact, folder: Path) -> None:
    """What does not depend on which demonstrations are in it."""
    shutil.copytree(artefact.directory / "encoder", folder / "encoder")
    if METRIC_FILE in artefact.manifest.files:
        shutil.copyfile(artefact.directory / METRIC_FILE, folder / METRIC_FILE)
    if artefact.settings.grasp_point is not None:
        shutil.copytree(artefact.directory / GRASP_FOLDER, folder / GRASP_FOLDER)


def _index_anew(artefact: NearestArtefact, ids: NDArray[np.int64], folder: Path) -> None:
    """Where the policy has an index, that of other rows keeps its kind and what was fitted."""
    index = artefact.directory / INDEX_FOLDER
    if not index.is_dir():
        return
    build_index(
        folder / INDEX_FOLDER,
        read_npy(folder / "embeddings.npy", ArtefactError, mapped=True),
        ids,
        sha256_file(folder / "embeddings.npy"),
        kind=read_index_manifest(index).kind,
        kept=index,
    )


def _finish(
    artefact: NearestArtefact, folder: Path, provenance: Mapping[str, Any], **changed: object
) -> None:
    """Write the manifest: that of `artefact` with what changed, and the files as they are now."""
    before = artefact.manifest
    files = {file: sha256_file(folder / file) for file in before.files}
    update = {"files": files, "provenance": {**before.provenance, **provenance}, **changed}
    write_manifest(folder, before.model_copy(update=update))


# Adding


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


def _origin(artefact: PolicyArtefact[Any], names: Sequence[str]) -> dict[str, Any]:
    """What the provenance of an extended policy says."""
    return {
        "policy": artefact.manifest.name,
        "manifest": sha256_file(artefact.directory / "manifest.json"),
        "added": list(names),
    }


def _finish_extended(
    artefact: NearestArtefact, added: Dataset, folder: Path, name: str, provenance: dict[str, Any]
) -> None:
    before = artefact.manifest
    extended = _origin(artefact, [found.meta.name for found in added.demonstrations])
    _finish(
        artefact,
        folder,
        {**provenance, "extended": extended},
        name=name,
        demonstration_count=before.demonstration_count + len(added),
        frame_count=before.frame_count + added.frame_count * len(artefact.settings.views),
        dataset_hash=hashlib.sha256(f"{before.dataset_hash}\n{added.hash}".encode()).hexdigest(),
    )


# Taking out


def _rows_that_stay(artefact: NearestArtefact, names: Sequence[str], k: int) -> NDArray[np.int64]:
    memory = artefact.memory
    origins = [origin_name(name) for name in memory.names]
    for name in names:
        if name not in origins:
            raise ConfigError(f"{artefact.directory}: has no demonstration {name!r}")
    if not names:
        raise ConfigError("demonstrations: none named")
    stays = np.array([origin not in names for origin in origins])
    rows = np.flatnonzero(stays[memory.demonstration_ids])
    if len(rows) < k:
        raise ConfigError(
            f"{artefact.directory}: {len(rows)} frames would stay, fewer than its k of {k} "
            "neighbours; remove fewer demonstrations"
        )
    return rows


def _keep_frames(artefact: NearestArtefact, rows: NDArray[np.int64], folder: Path) -> None:
    """Write frames.parquet and thumbnails.bin of some rows, in their order."""
    table = read_table(artefact.directory / "frames.parquet", ArtefactError).take(pa.array(rows))
    spans = artefact.thumbnail_spans[rows]
    with (
        (artefact.directory / "thumbnails.bin").open("rb") as old,
        (folder / "thumbnails.bin").open("wb") as new,
    ):
        for offset, size in spans.tolist():
            old.seek(offset)
            new.write(old.read(size))
    offsets = np.concatenate([[0], np.cumsum(spans[:, 1])[:-1]])
    place = FRAME_COLUMNS.get_field_index("thumbnail_offset")
    table = table.set_column(place, FRAME_COLUMNS.field(place), pa.array(offsets, pa.int64()))
    pq.write_table(table, folder / "frames.parquet")


def _calibrate(
    folder: Path,
    settings: VinnSettings,
    embeddings: NDArray[np.floating],
    ids: NDArray[np.int64],
) -> float | None:
    """The novelty limit of the frames that stay; writes their subspace where that is measured."""
    if settings.novelty is NoveltyMeasure.NEAREST:
        return calibrate_novelty_limit(embeddings, ids)
    # With context, the frame's own embedding comes first.
    own = np.asarray(embeddings[:, : settings.dimension], np.float32)
    subspace, limit = calibrated_subspace(
        own, ids, cells_of(read_encoder_manifest(folder / "encoder"))
    )
    save_subspace(folder / NOVELTY_FILE, subspace)
    return limit


def _finish_shortened(
    artefact: NearestArtefact,
    settings: VinnSettings,
    names: Sequence[str],
    frames: int,
    folder: Path,
    name: str,
) -> None:
    before = artefact.manifest
    removed = sorted(set(names))
    listed = "\n".join(removed)
    shortened = {
        "policy": before.name,
        "manifest": sha256_file(artefact.directory / "manifest.json"),
        "removed": removed,
    }
    _finish(
        artefact,
        folder,
        {"shortened": shortened},
        name=name,
        demonstration_count=before.demonstration_count - len(removed),
        frame_count=frames,
        dataset_hash=hashlib.sha256(
            f"{before.dataset_hash}\nwithout\n{listed}".encode()
        ).hexdigest(),
        vinn=settings.model_dump(mode="json"),
    )
