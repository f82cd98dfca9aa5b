"""Which search a memory gets, by its size, and the folder that keeps what the search prepared.

    up to   4,000 frames   flat          every row is read; nothing to prepare
    up to 250,000 frames   projected     exact; a lower bound spares most rows
    above                  approximate   inverted file of FAISS, recall measured on its frames

    index.json         IndexManifest
    projection.npz     kind "projected": centre (D,), basis (D, m)
    coordinates.npy    kind "projected": (N, m + 1) float32
    inverted.faiss     kind "approximate": see `vinn.retrieval.inverted_file`

All of it can be made again from the embeddings; an index of other embeddings is refused.
"""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.demos.files import atomic_directory, sha256_file
from vinn.encoders.artefact import check_files
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.reading.arrays import check_finite, read_npy, read_npz
from vinn.reading.documents import read_model
from vinn.retrieval.approximate import ApproximateNeighbors
from vinn.retrieval.effort import choose_effort
from vinn.retrieval.flat import FlatNeighbors
from vinn.retrieval.inverted_file import InvertedFile
from vinn.retrieval.neighbors import Neighbors
from vinn.retrieval.projected import ProjectedNeighbors
from vinn.retrieval.projection import Projection

FLAT_UP_TO = 4_000
EXACT_UP_TO = 250_000
_RECALL_K = 10
_INVERTED_FILE = "inverted.faiss"
_SAME_SIZE = 0.1
"""A memory that differs by no larger share is searched with the effort it was searched with."""


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
    """Of approximate indexes that earlier versions made; `open_index` refuses them."""
    recall: float | None = None
    """Kind "approximate": mean share of the true neighbours found with that effort, over
    frames of this memory whose own demonstration did not count."""
    recall_k: int | None = None
    recall_queries: int | None = None
    recall_count: int | None = None
    """Frames that the memory had when its recall was measured; None: `count`."""


def build_index(
    directory: Path,
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    embeddings_sha256: str,
    kind: IndexKind | None = None,
    seed: int = 0,
    kept: Path | None = None,
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
        kept: folder of an index of the same kind; what was fitted for it is kept instead of
            fitting anew: for rows added to a known memory, or taken from it. So is its effort,
            while the memory is about as large as when that was chosen.
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
    with atomic_directory(directory, ArtefactError) as folder:
        if kind is IndexKind.APPROXIMATE:
            extra = _write_approximate(folder, embeddings, demonstration_ids, seed, kept, asked)
        else:
            projection = read_projection(kept) if kept else Projection.fit(embeddings, seed=seed)
            np.savez(folder / "projection.npz", centre=projection.centre, basis=projection.basis)
            np.save(folder / "coordinates.npy", projection.coordinates(embeddings))
            extra = {}
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


def _write_approximate(
    folder: Path,
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    seed: int,
    kept: Path | None,
    asked: NDArray[np.int64] | None,
) -> dict[str, Any]:
    """The inverted file, and what the manifest says of it."""
    if kept is None:
        inverted_file = InvertedFile.build(embeddings, seed)
    else:
        inverted_file = InvertedFile.read(kept / _INVERTED_FILE)
        inverted_file.emptied()
        inverted_file.put(embeddings)
    inverted_file.write(folder / _INVERTED_FILE)
    if kept is not None:
        before = read_index_manifest(kept)
        measured = before.recall_count or before.count
        if abs(len(embeddings) - measured) <= _SAME_SIZE * measured:
            fields = ("lists", "probes", "candidates_per_neighbor", "recall", "recall_k")
            effort_kept = {name: getattr(before, name) for name in (*fields, "recall_queries")}
            return {**effort_kept, "recall_count": measured}
    effort = choose_effort(
        inverted_file, embeddings, demonstration_ids, asked, _RECALL_K, seed=seed
    )
    return {
        "lists": inverted_file.number_of_lists,
        "probes": effort.probes,
        "candidates_per_neighbor": effort.candidates_per_neighbor,
        "recall": effort.recall,
        "recall_k": effort.k,
        "recall_queries": effort.queries,
        "recall_count": len(embeddings),
    }


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
    if manifest.kind is IndexKind.APPROXIMATE:
        inverted_file = InvertedFile.read(directory / _INVERTED_FILE)
        shape = inverted_file.count, inverted_file.dimension
        if shape != (manifest.count, manifest.dimension):
            raise ArtefactMismatchError(
                f"{directory / _INVERTED_FILE}: {shape[0]} rows of {shape[1]}, the manifest says "
                f"{manifest.count} of {manifest.dimension}"
            )
        probes, candidates = manifest.probes, manifest.candidates_per_neighbor
        if probes is None or candidates is None:
            raise ArtefactError(
                f"{directory / 'index.json'}: an approximate index without 'probes' and "
                "'candidates_per_neighbor'; make it again with 'vinn policy index'"
            )
        return ApproximateNeighbors(embeddings, inverted_file, probes, candidates)
    projection = read_projection(directory)
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
