"""Neighbours among the *other* demonstrations: what a frame would meet at an unseen start.

The frames just before and after a frame look like it, so leaving out the frame alone would make
everything look near. Leaving out its whole demonstration does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError, DatasetError


def neighbors_in_other_demonstrations(
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    k: int,
    queries: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each of N frames its k nearest frames of other demonstrations.

    Args:
        embeddings: (N, D).
        demonstration_ids: (N,) equal for frames of the same demonstration.
        k: at most the number of frames outside the longest demonstration.
        queries: (Q,) rows to ask for, ascending; None: all N.

    Returns:
        Euclidean distances (Q, k), nearest first, and rows (Q, k).

    Raises:
        DatasetError: fewer than 2 demonstrations.
        ConfigError: k is too large; both numbers are named.
    """
    ids, counts = np.unique(demonstration_ids, return_counts=True)
    if len(ids) < 2:
        raise DatasetError(
            f"leaving one demonstration out needs at least 2 demonstrations, got {len(ids)}"
        )
    available = int(len(embeddings) - counts.max())
    if not 1 <= k <= available:
        raise ConfigError(
            f"k: {k} neighbours, but only {available} frames are outside the longest "
            f"demonstration; allowed: 1..{available}"
        )
    # Distances by ||x||^2 + ||y||^2 - 2xy: one matrix product per demonstration. In float64 the
    # cancellation stays far below the distances between different frames.
    points = embeddings.astype(np.float64)
    points -= points.mean(axis=0)
    squared_norm = (points**2).sum(axis=1)
    asked = np.arange(len(points)) if queries is None else queries
    distances = np.empty((len(asked), k))
    rows = np.empty((len(asked), k), np.int64)
    for demonstration in np.unique(demonstration_ids[asked]):
        own = np.flatnonzero(demonstration_ids[asked] == demonstration)
        here = points[asked[own]]
        squared = squared_norm[asked[own], None] + squared_norm - 2 * here @ points.T
        squared[:, demonstration_ids == demonstration] = np.inf
        nearest = np.argpartition(squared, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(squared, nearest, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        rows[own] = np.take_along_axis(nearest, order, axis=1)
        distances[own] = np.sqrt(np.maximum(np.take_along_axis(found, order, axis=1), 0))
    return distances, rows
