"""Which search a memory gets, by its size, and the folder that keeps what the search prepared.

    up to   4,000 frames   flat          every row is read; nothing to prepare
    up to 250,000 frames   projected     exact; a lower bound spares most rows
    above                  approximate   inverted file, recall measured on the frames themselves

    index.json         IndexManifest
    projection.npz     centre (D,), basis (D, m)
    coordinates.npy    (N, m + 1) float32
    inverted.faiss     kind "approximate" only

All of it can be made again from the embeddings; an index of other embeddings is refused.
"""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.demos.files import atomic_directory, sha256_file
from vinn.encoders.artefact import check_files
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.reading.arrays import check_finite, read_npy, read_npz
from vinn.reading.documents import read_model
from vinn.retrieval.approximate import (
    ApproximateNeighbors,
    build_inverted_file,
    choose_effort,
    read_inverted_file,
)
from vinn.retrieval.flat import FlatNeighbors
from vinn.retrieval.neighbors import Neighbors
from vinn.retrieval.projected import ProjectedNeighbors
from vinn.retrieval.projection import Projection

FLAT_UP_TO = 4_000
EXACT_UP_TO = 250_000
_RECALL_K = 10


class IndexKind(str, Enum):
    """Ways to search."""

    FLAT = "flat"
    PROJECTED = "projected"
    APPROXIMATE = "approximate"


def kind_for(count: int) -> IndexKind:
    """The search that a memory of `count` frames gets unless somebody says otherwise."""
    if count <= FLAT_UP_TO:
        return IndexKind.FLAT
    return IndexKind.PROJECTED if count <= EXACT_UP_TO else IndexKind.APPROXIMATE


class IndexManifest(BaseModel):
    """Contents of `index.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: IndexKind
    count: int = Field(ge=1)
    dimension: int = Field(ge=1)
    embeddings_sha256: str
    files: dict[str, str]
    """SHA-256 of each other file of the folder."""
    build_s: float = Field(ge=0)
    lists: int | None = None
    """Kind "approximate": lists of the inverted file."""
    probes: int | None = None
    """Kind "approximate": lists that a query reads."""
    candidates_per_neighbor: int | None = None
    """Kind "approximate": times k, rows whose true distance a query computes."""
    residual_cosine: float | None = None
    """Kind "approximate": see `vinn.retrieval.approximate`."""
    recall: float | None = None
    """Kind "approximate": mean share of the true neighbours found with that effort, over
    frames of this memory whose own demonstration did not count."""
    recall_k: int | None = None
    recall_queries: int | None = None


def build_index(
    directory: Path,
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    embeddings_sha256: str,
    kind: IndexKind | None = None,
    seed: int = 0,
    projection: Projection | None = None,
    asked: NDArray[np.int64] | None = None,
) -> IndexManifest:
    """Prepare a search and write it to a new folder.

    Args:
        directory: is made, and must not exist.
        embeddings: (N, D), single or half precision.
        demonstration_ids: (N,), for the measurement of recall.
        embeddings_sha256: of the file the embeddings are in.
        kind: projected or approximate; None: `kind_for` N, but at least projected.
        seed: of samples.
        projection: keep this one instead of fitting one (any will do, see
            `vinn.retrieval.projection`): for rows added to a known memory.
        asked: rows that are like what will be asked about, for the recall; None: all.

    Raises:
        ArtefactError: the folder exists or cannot be written.
        ConfigError: kind is flat, which has nothing to keep.
    """
    if kind is None:
        kind = kind_for(len(embeddings))
        kind = IndexKind.PROJECTED if kind is IndexKind.FLAT else kind
    if kind is IndexKind.FLAT:
        raise ConfigError("index: 'flat' has nothing to keep; allowed: projected, approximate")
    started_s = time.perf_counter()
    projection = projection or Projection.fit(embeddings, seed=seed)
    coordinates = projection.coordinates(embeddings)
    extra: dict[str, Any] = {}
    with atomic_directory(directory, ArtefactError) as folder:
        np.savez(folder / "projection.npz", centre=projection.centre, basis=projection.basis)
        np.save(folder / "coordinates.npy", coordinates)
        if kind is IndexKind.APPROXIMATE:
            index = build_inverted_file(coordinates, seed)
            effort = choose_effort(
                index, projection, embeddings, demonstration_ids, asked, _RECALL_K, seed=seed
            )
            faiss.write_index(index, str(folder / "inverted.faiss"))
            extra = {
                "lists": int(index.nlist),
                "probes": effort.probes,
                "candidates_per_neighbor": effort.candidates_per_neighbor,
                "residual_cosine": effort.residual_cosine,
                "recall": effort.recall,
                "recall_k": effort.k,
                "recall_queries": effort.queries,
            }
        manifest = IndexManifest(
            kind=kind,
            count=embeddings.shape[0],
            dimension=embeddings.shape[1],
            embeddings_sha256=embeddings_sha256,
            files={path.name: sha256_file(path) for path in sorted(folder.iterdir())},
            build_s=time.perf_counter() - started_s,
            **extra,
        )
        (folder / "index.json").write_text(
            manifest.model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
    return manifest


def read_index_manifest(directory: Path) -> IndexManifest:
    """What an index is.

    Raises:
        ArtefactError: missing or malformed.
    """
    return read_model(Path(directory) / "index.json", IndexManifest, ArtefactError)


def read_projection(directory: Path) -> Projection:
    """The projection of an index.

    Raises:
        ArtefactError: missing or malformed.
    """
    path = Path(directory) / "projection.npz"
    arrays = read_npz(path, ArtefactError, ("centre", "basis"))
    centre, basis = (np.asarray(arrays[name], np.float64) for name in ("centre", "basis"))
    if basis.ndim != 2 or centre.shape != basis.shape[:1]:
        raise ArtefactError(f"{path}: centre {centre.shape} and basis {basis.shape} do not fit")
    if not (np.isfinite(centre).all() and np.isfinite(basis).all()):
        raise ArtefactError(f"{path}: the projection is not finite")
    return Projection(centre, basis)


def open_index(
    directory: Path, embeddings: NDArray[np.floating], embeddings_sha256: str
) -> Neighbors:
    """The search that `build_index` prepared for these embeddings (N, D).

    Raises:
        ArtefactError: files are missing or malformed.
        ArtefactMismatchError: files have changed, or it was made for other embeddings.
    """
    manifest = read_index_manifest(directory)
    pairs = {
        "embeddings": (embeddings_sha256[:12], manifest.embeddings_sha256[:12]),
        "shape": (embeddings.shape, (manifest.count, manifest.dimension)),
    }
    for what, (found, wanted) in pairs.items():
        if found != wanted:
            raise ArtefactMismatchError(
                f"{directory}: index made for {what} {wanted}, the policy has {found}"
            )
    check_files(directory, manifest.files)
    projection = read_projection(directory)
    if manifest.kind is IndexKind.APPROXIMATE:
        index = read_inverted_file(directory / "inverted.faiss")
        if (index.ntotal, index.d) != (manifest.count, projection.components + 1):
            raise ArtefactMismatchError(
                f"{directory / 'inverted.faiss'}: {index.ntotal} rows of {index.d}, the manifest "
                f"says {manifest.count} of {projection.components + 1}"
            )
        probes, candidates = manifest.probes, manifest.candidates_per_neighbor
        cosine = manifest.residual_cosine
        if probes is None or candidates is None or cosine is None:
            raise ArtefactError(
                f"{directory / 'index.json'}: an approximate index without 'probes', "
                "'candidates_per_neighbor' and 'residual_cosine'; make it again with "
                "'vinn policy index'"
            )
        return ApproximateNeighbors(embeddings, projection, index, probes, candidates, cosine)
    path = directory / "coordinates.npy"
    coordinates = read_npy(path, ArtefactError, mapped=True)
    check_finite(coordinates, path, ArtefactError)
    if coordinates.shape != (manifest.count, projection.components + 1):
        raise ArtefactMismatchError(
            f"{path}: {coordinates.shape}, the manifest says "
            f"{(manifest.count, projection.components + 1)}"
        )
    return ProjectedNeighbors(embeddings, projection, coordinates)


def search_over(embeddings: NDArray[np.floating]) -> Neighbors:
    """A search over embeddings (N, D) that have no index: flat, or projected where that pays."""
    if kind_for(len(embeddings)) is IndexKind.FLAT:
        return FlatNeighbors(embeddings)
    return ProjectedNeighbors(embeddings)
