"""What a neighbour search is, and the reference that every fast one is held against."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactMismatchError, ConfigError


class Neighbors(Protocol):
    """Exact or approximate search among N stored embeddings of length D."""

    @property
    def count(self) -> int:
        """N."""

    @property
    def dimension(self) -> int:
        """D."""

    def search(
        self, query: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The k stored embeddings nearest to a query.

        Args:
            query: (D,) finite.
            k: 1..N.

        Returns:
            Euclidean distances (k,), nearest first, and rows (k,). Equally distant rows come in
            the order of their index.

        Raises:
            ConfigError: k is not in 1..N; both are named.
            ArtefactMismatchError: the query's length is not D; both are named.
        """


def brute_force_neighbors(
    embeddings: NDArray[np.float32], query: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`Neighbors.search` as the formula says it: ||e - e_i||_2 to every row, sorted.

    Args:
        embeddings: (N, D).
        query: (D,).
        k: 1..N.

    Returns:
        Distances (k,) and rows (k,), as in `Neighbors.search`.
    """
    check_search(query, k, count=len(embeddings), dimension=embeddings.shape[1])
    difference = embeddings.astype(np.float64) - query.astype(np.float64)
    distances = np.sqrt((difference**2).sum(axis=1))
    order = np.argsort(distances, kind="stable")[:k]
    return distances[order], order


def check_search(query: NDArray[np.float32], k: int, count: int, dimension: int) -> None:
    """Refuse what no search can answer; raises as `Neighbors.search` does."""
    if not 1 <= k <= count:
        raise ConfigError(f"k: {k} neighbours of {count} stored frames; allowed: 1..{count}")
    if query.shape != (dimension,):
        raise ArtefactMismatchError(
            f"query embedding has shape {query.shape}, the stored ones have length {dimension}"
        )
