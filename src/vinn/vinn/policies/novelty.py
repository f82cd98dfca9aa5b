"""How unlike the demonstrations a view is.

    nearest     ||z - z_1||                          z: features, z_1: the nearest frame's
    subspace    max_i ||r_i||, r = e - c - B B^T (e - c)      e: the encoder's embedding

B are the principal directions of the demonstrations' embeddings: r is what they leave over. Frames
of demonstrations fill a thin part of the space; a covered sign or handle moves the embedding out of
it, though not always far from the nearest frame. r_i is the part of r that belongs to cell i of the
image where the embedding is a grid of local features (`vinn.encoders.local`), so that a small thing
counts as much as a large one; of a pooled embedding it is r itself. It tells single covered things
better than the nearest distance (docs/results/novelty.md), costs one small matrix product, and does
not grow with the memory.

Novelty is the measure over a limit: the `NOVELTY_QUANTILE` of what each frame would get if its own
demonstration were not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import EncoderManifest
from vinn.encoders.principal import principal_components
from vinn.errors import ArtefactError, DatasetError
from vinn.reading.arrays import read_npz

COMPONENTS = 128
_FOLDS = 5
_FIT_ROWS = 20_000
"""Frames the directions are computed from; more change them little."""
_BLOCK_ROWS = 4096
_EXPLAINED, _MOST_ADDED = 0.9, 16
"""Of what a new demonstration's frames leave over: the share its added directions explain, and
how many there may be."""
_SMALLEST = 1e-6
NOVELTY_QUANTILE = 0.99


class NoveltyMeasure(str, Enum):
    """What the novelty of a view is measured by."""

    NEAREST = "nearest"
    SUBSPACE = "subspace"


@dataclass(frozen=True)
class Subspace:
    """Where the demonstrations' embeddings lie.

    Attributes:
        centre: (D,) float32.
        directions: (D, m) float32, orthonormal columns.
        cells: of the image that an embedding describes one by one, channel after channel; 1 of a
            pooled embedding.
    """

    centre: NDArray[np.float32]
    directions: NDArray[np.float32]
    cells: int = 1

    @classmethod
    def fit(
        cls, embeddings: NDArray[np.float32], cells: int = 1, components: int = COMPONENTS
    ) -> Subspace:
        """The principal directions of (a seeded sample of) N embeddings (N, D).

        Of few frames fewer directions are kept, at most half as many as frames: otherwise nothing
        would be left over of any of them.

        Raises:
            ConfigError: fewer than 2 frames, or all are equal.
        """
        if len(embeddings) > _FIT_ROWS:
            rows = np.random.default_rng(0).choice(len(embeddings), _FIT_ROWS, replace=False)
            embeddings = embeddings[np.sort(rows)]
        count = max(1, min(components, len(embeddings) // 2, embeddings.shape[1] // 2))
        centre, directions, _ = principal_components(np.asarray(embeddings), count)
        return cls(centre.astype(np.float32), directions.astype(np.float32), cells)

    def extended(self, embeddings: NDArray[np.float32]) -> Subspace:
        """With the few directions added that frames (N, D) of a new demonstration ask for.

        What they show is then no longer novel; nothing is fitted anew.
        """
        centred = embeddings.astype(np.float64) - self.centre
        centred -= (centred @ self.directions) @ self.directions.T
        _, lengths, right = np.linalg.svd(centred, full_matrices=False)
        explained = np.cumsum(lengths**2) / max(float((lengths**2).sum()), np.finfo(float).tiny)
        count = min(int(np.searchsorted(explained, _EXPLAINED)) + 1, _MOST_ADDED, len(lengths))
        added = right[:count].T[:, lengths[:count] > _SMALLEST * max(float(lengths[0]), 1.0)]
        directions = np.concatenate([self.directions, added.astype(np.float32)], axis=1)
        return Subspace(self.centre, directions, self.cells)

    def residual_map(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Length of what is left over of embeddings (N, D) in each cell: (N, cells)."""
        left = np.empty((len(embeddings), self.cells))
        for start in range(0, len(embeddings), _BLOCK_ROWS):
            centred = embeddings[start : start + _BLOCK_ROWS] - self.centre
            centred -= (centred @ self.directions) @ self.directions.T
            by_cell = centred.reshape(len(centred), -1, self.cells)
            left[start : start + _BLOCK_ROWS] = np.linalg.norm(by_cell, axis=1)
        return left

    def residual(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """The largest of `residual_map`: (N,)."""
        return self.residual_map(embeddings).max(axis=1)


def cells_of(encoder: EncoderManifest) -> int:
    """Cells that an encoder's embedding describes one by one; 1 of a pooled embedding."""
    grid = encoder.provenance.get("local_features", {}).get("grid", 1)
    return int(grid) ** 2


def held_out_residuals(
    embeddings: NDArray[np.float32],
    demonstration_ids: NDArray[np.int64],
    cells: int = 1,
    components: int = COMPONENTS,
) -> NDArray[np.float64]:
    """Residual (N,) of each frame in the subspace of demonstrations that are not its own.

    Demonstrations are split into `_FOLDS` parts (or one for each, if there are fewer).

    Raises:
        DatasetError: fewer than 2 demonstrations.
    """
    ids = np.unique(demonstration_ids)
    if len(ids) < 2:
        raise DatasetError(f"novelty needs at least 2 demonstrations, got {len(ids)}")
    part = np.searchsorted(ids, demonstration_ids) % min(_FOLDS, len(ids))
    residuals = np.empty(len(embeddings))
    for fold in np.unique(part):
        inside = part == fold
        subspace = Subspace.fit(embeddings[~inside], cells, components)
        residuals[inside] = subspace.residual(embeddings[inside])
    return residuals


def calibrated_subspace(
    embeddings: NDArray[np.float32], demonstration_ids: NDArray[np.int64], cells: int = 1
) -> tuple[Subspace, float]:
    """The subspace of N embeddings (N, D) and the residual above which a view is novel.

    Raises:
        DatasetError: fewer than 2 demonstrations.
        ConfigError: all frames are equal.
    """
    residuals = held_out_residuals(embeddings, demonstration_ids, cells)
    return Subspace.fit(embeddings, cells), float(np.quantile(residuals, NOVELTY_QUANTILE))


def save_subspace(path: Path, subspace: Subspace) -> None:
    """Write a subspace to an .npz file."""
    with path.open("wb") as file:
        np.savez(
            file,
            centre=subspace.centre,
            directions=subspace.directions,
            cells=np.array(subspace.cells),
        )


def load_subspace(path: Path, dimension: int) -> Subspace:
    """Read a subspace of embeddings of length `dimension`; nothing is ever unpickled.

    Raises:
        ArtefactError: missing, malformed, of another length, or not finite.
    """
    arrays = read_npz(path, ArtefactError, ("centre", "directions", "cells"))
    centre, directions = (np.asarray(arrays[key], np.float32) for key in ("centre", "directions"))
    if arrays["cells"].shape != ():
        raise ArtefactError(f"{path}: 'cells' must be one number, is {arrays['cells'].shape}")
    cells = int(arrays["cells"])
    if centre.shape != (dimension,) or directions.ndim != 2 or len(directions) != dimension:
        raise ArtefactError(
            f"{path}: centre {centre.shape} and directions {directions.shape} do not fit "
            f"embeddings of length {dimension}"
        )
    if cells < 1 or dimension % cells:
        raise ArtefactError(f"{path}: {cells} cells of embeddings of length {dimension}")
    if not (np.isfinite(centre).all() and np.isfinite(directions).all()):
        raise ArtefactError(f"{path}: not finite")
    return Subspace(centre, directions, cells)
