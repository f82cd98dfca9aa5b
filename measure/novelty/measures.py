"""Novelty measures side by side: how well each tells covered views from held-out plain ones.

The run time has two of them (`vinn.policies.novelty`); the others are here to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from vinn.encoders.principal import principal_components
from vinn.errors import ConfigError
from vinn.policies.novelty import Subspace

NEIGHBORS = 10
_WHITENED = 64
_SEARCH_ROWS = 256
_PATCH_ROWS = 32

Scores = NDArray[np.float64]
"""(N,), larger is more novel."""


@dataclass(frozen=True)
class Views:
    """Embeddings of N frames by two encoders.

    Attributes:
        pooled: (N, D) of an encoder that averages its feature map.
        local: (N, c * cells) of one that keeps a grid, channel after channel.
        cells: of that grid.
    """

    pooled: NDArray[np.float32]
    local: NDArray[np.float32]
    cells: int

    def __len__(self) -> int:
        return len(self.pooled)


@dataclass(frozen=True)
class Memory:
    """The demonstrations' frames.

    Attributes:
        views: embeddings of N frames.
        demonstration_ids: (N,).
        progress: (N,) 0 at a demonstration's first frame, 1 at its last.
    """

    views: Views
    demonstration_ids: NDArray[np.int64]
    progress: NDArray[np.float64]


Measure = Callable[[Views], Scores]


def measures(memory: Memory) -> Mapping[str, Measure]:
    """Every measure, fitted to the demonstrations, by the name it has in the results."""
    pooled, local = memory.views.pooled, memory.views.local
    own = _nearest_of_other_demonstrations(memory)
    whitening = _whitening(pooled)
    by_pooled = Subspace.fit(pooled)
    by_local = Subspace.fit(local, memory.views.cells)

    def neighbors(views: Views) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        return nearest(pooled, views.pooled, NEIGHBORS)

    def disagreement(views: Views) -> Scores:
        ids = memory.demonstration_ids[neighbors(views)[1]]
        return np.array([len(set(row)) for row in ids], dtype=np.float64)

    return {
        "nearest distance": lambda v: neighbors(v)[0][:, 0],
        "mean of 10 distances": lambda v: neighbors(v)[0].mean(axis=1),
        "distance ratio": lambda v: neighbors(v)[0][:, 0] / own[neighbors(v)[1][:, 0]],
        "demonstrations among 10": disagreement,
        "spread of progress among 10": lambda v: memory.progress[neighbors(v)[1]].std(axis=1),
        "Mahalanobis": lambda v: np.linalg.norm(whitening(v.pooled), axis=1),
        "subspace": lambda v: by_pooled.residual(v.pooled),
        "local, nearest distance": lambda v: nearest(local, v.local, 1)[0][:, 0],
        "local, nearest patches": lambda v: _patches(memory.views, v),
        "local, subspace by cell": lambda v: by_local.residual(v.local),
    }


def area_under_curve(plain: Scores, novel: Scores) -> float:
    """Area under the ROC curve: how often a novel view scores above a plain one; ties count half.

    Raises:
        ConfigError: one of them is empty.
    """
    if not len(plain) or not len(novel):
        raise ConfigError(f"area under curve of {len(plain)} plain and {len(novel)} novel scores")
    ordered = np.sort(plain)
    below = np.searchsorted(ordered, novel, side="left")
    not_above = np.searchsorted(ordered, novel, side="right")
    return float((below + not_above).mean() / (2 * len(plain)))


def nearest(
    stored: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances and rows (Q, k) of the k nearest of N stored embeddings, nearest first."""
    points = stored.astype(np.float64)
    squared_norm = (points**2).sum(axis=1)
    distances, rows = [], []
    for start in range(0, len(queries), _SEARCH_ROWS):
        block = queries[start : start + _SEARCH_ROWS].astype(np.float64)
        squared = (block**2).sum(axis=1)[:, None] + squared_norm - 2 * block @ points.T
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        rows.append(order)
        distances.append(np.sqrt(np.maximum(np.take_along_axis(squared, order, axis=1), 0.0)))
    return np.concatenate(distances), np.concatenate(rows)


def _nearest_of_other_demonstrations(memory: Memory) -> Scores:
    """What each frame of the memory itself is away from the other demonstrations."""
    ids = memory.demonstration_ids
    found = np.empty(len(ids))
    for demonstration in np.unique(ids):
        inside = ids == demonstration
        pooled = memory.views.pooled
        found[inside] = nearest(pooled[~inside], pooled[inside], 1)[0][:, 0]
    return np.maximum(found, np.finfo(float).tiny)


def _whitening(
    embeddings: NDArray[np.float32],
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    centre, directions, variances = principal_components(embeddings, _WHITENED)
    return lambda values: (values - centre) @ directions / np.sqrt(variances)


def _patches(stored: Views, views: Views) -> Scores:
    """Largest distance of a cell to the same cell of the 10 nearest frames, the best of them."""
    _, rows = nearest(stored.local, views.local, NEIGHBORS)
    memory = stored.local.reshape(len(stored), -1, stored.cells)
    queries = views.local.reshape(len(views), -1, views.cells)
    scores = np.empty(len(views))
    for start in range(0, len(views), _PATCH_ROWS):
        block = slice(start, start + _PATCH_ROWS)
        difference = memory[rows[block]] - queries[block, None]
        by_cell = np.sqrt((difference.astype(np.float64) ** 2).sum(axis=2))
        scores[block] = by_cell.min(axis=1).max(axis=1)
    return scores
