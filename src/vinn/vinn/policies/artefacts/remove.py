"""Taking demonstrations out of a nearest-neighbour policy without building it anew.

The counterpart of `extend`: nothing is encoded. What novelty is measured against is
calibrated on the frames that stay: what was taken out is unknown again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vinn.demos.files import atomic_directory, sha256_file
from vinn.encoders.artefact import read_manifest as read_encoder_manifest
from vinn.errors import ArtefactError, ConfigError
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.manifest import FRAME_COLUMNS, INDEX_FOLDER, write_manifest
from vinn.policies.augmentation import origin_name
from vinn.policies.build import calibrate_novelty_limit
from vinn.policies.kinds.nearest import (
    GRASP_FOLDER,
    METRIC_FILE,
    NOVELTY_FILE,
    NearestArtefact,
    VinnSettings,
)
from vinn.policies.novelty import NoveltyMeasure, calibrated_subspace, cells_of, save_subspace
from vinn.reading.tables import read_table
from vinn.retrieval.index import build_index, read_index_manifest, read_projection


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
    artefact, out_dir = open_artefact(directory), Path(out_dir)
    if not isinstance(artefact, NearestArtefact) or artefact.manifest.kind != "vinn":
        raise ArtefactError(
            f"{directory}: kind '{artefact.manifest.kind}' cannot lose demonstrations; "
            "allowed: vinn"
        )
    settings = artefact.settings
    if settings.novelty is NoveltyMeasure.SUBSPACE and settings.metric_dimension is not None:
        raise ArtefactError(
            f"{directory}: novelty is measured on embeddings, of which a metric keeps only a part; "
            "build it anew"
        )
    rows = _rows_that_stay(artefact, names, settings.k)
    ids = artefact.memory.origin_ids[rows]
    with atomic_directory(out_dir, ArtefactError) as folder:
        shutil.copytree(directory / "encoder", folder / "encoder")
        embeddings = artefact.embeddings[rows]
        np.save(folder / "embeddings.npy", embeddings)
        _write_frames(artefact, rows, folder)
        if METRIC_FILE in artefact.manifest.files:
            shutil.copyfile(directory / METRIC_FILE, folder / METRIC_FILE)
        if settings.grasp_point is not None:
            shutil.copytree(directory / GRASP_FOLDER, folder / GRASP_FOLDER)
        limit = _calibrate(folder, settings, embeddings, ids)
        index = directory / INDEX_FOLDER
        if index.is_dir():
            build_index(
                folder / INDEX_FOLDER,
                embeddings,
                ids,
                sha256_file(folder / "embeddings.npy"),
                kind=read_index_manifest(index).kind,
                projection=read_projection(index),
            )
        settings = settings.model_copy(update={"novelty_limit": limit})
        _finish(artefact, settings, names, len(rows), folder, out_dir.name)
        open_artefact(folder)
    return out_dir


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


def _write_frames(artefact: NearestArtefact, rows: NDArray[np.int64], folder: Path) -> None:
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


def _finish(
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
    identity = hashlib.sha256(f"{before.dataset_hash}\nwithout\n{listed}".encode()).hexdigest()
    shortened: dict[str, Any] = {
        "policy": before.name,
        "manifest": sha256_file(artefact.directory / "manifest.json"),
        "removed": removed,
    }
    manifest = before.model_copy(
        update={
            "name": name,
            "demonstration_count": before.demonstration_count - len(removed),
            "frame_count": frames,
            "dataset_hash": identity,
            "vinn": settings.model_dump(mode="json"),
            "files": {file: sha256_file(folder / file) for file in before.files},
            "provenance": {**before.provenance, "shortened": shortened},
        }
    )
    write_manifest(folder, manifest)
