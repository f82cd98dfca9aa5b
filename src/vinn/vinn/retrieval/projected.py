"""Exact search that reads a tenth of the memory: bound first, measure what the bound lets through.

`vinn.retrieval.projection` gives a lower bound of the distance to every row. The true distance of
some promising rows gives an upper bound of the k-th smallest; every row whose lower bound exceeds
it is out. The answer is the same as brute force's, ties included: rounding is met with a slack on
the safe side, and the last comparison is done in double precision.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.retrieval.distances import squared_distances, squared_distances_to
from vinn.retrieval.neighbors import check_search
from vinn.retrieval.projection import Projection

_BLOCK_ROWS = 256
"""Rows that share one smallest bound in the search for promising rows."""
_MOST_PROMISING = 64
_SINGLE_SLACK = 1e-5
"""Of squared lengths: far above the rounding of a sum of a few thousand single-precision products
(some sqrt(D) times 6e-8), far below the differences between embeddings."""


class ProjectedNeighbors:
    """Exact search by a projection's lower bound. Embeddings may be mapped from disk."""

    def __init__(
        self,
        embeddings: NDArray[np.floating],
        projection: Projection | None = None,
        coordinates: NDArray[np.float32] | None = None,
    ) -> None:
        """Prepare the search.

        Args:
            embeddings: (N, D), single or half precision; kept, and not copied if C-contiguous.
            projection: of D-vectors; None: fitted here.
            coordinates: (N, m + 1), the projection's of the embeddings; None: made here.
        """
        self._embeddings = np.ascontiguousarray(embeddings)
        self._projection = projection or Projection.fit(embeddings)
        if coordinates is None:
            coordinates = self._projection.coordinates(embeddings)
        self._coordinates = np.ascontiguousarray(coordinates)
        origin = np.zeros(coordinates.shape[1], np.float32)
        self._largest = float(squared_distances(self._coordinates, origin).max())
        self.measured = 0
        """Rows whose true distance the last search computed."""

    @property
    def count(self) -> int:
        """N, the number of stored embeddings."""
        return int(self._embeddings.shape[0])

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return int(self._embeddings.shape[1])

    def search(
        self, query: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """See `vinn.retrieval.neighbors.Neighbors.search`."""
        check_search(query, k, self.count, self.dimension)
        own = self._projection.coordinates_of(query)
        bounds = squared_distances(self._coordinates, own)
        slack = _SINGLE_SLACK * (self._largest + float(own @ own))
        promising = self._promising(bounds, k)
        upper = _kth(squared_distances_to(self._embeddings, promising, query), k)
        rows = np.flatnonzero(bounds <= upper * (1 + _SINGLE_SLACK) + slack)
        self.measured = len(promising) + len(rows)
        return nearest_of(self._embeddings, rows, query, k)

    def _promising(self, bounds: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """At least k rows with small bounds, without sorting all of them."""
        blocks = len(bounds) // _BLOCK_ROWS
        wanted = 3 * k
        if blocks > wanted:
            smallest = bounds[: blocks * _BLOCK_ROWS].reshape(blocks, _BLOCK_ROWS).min(axis=1)
            limit = np.partition(smallest, wanted)[wanted]
        else:
            last = min(wanted, len(bounds)) - 1
            limit = np.partition(bounds, last)[last]
        rows = np.flatnonzero(bounds <= limit)
        most = max(_MOST_PROMISING, wanted)
        if len(rows) > most:
            rows = rows[np.argpartition(bounds[rows], most - 1)[:most]]
        return rows


def nearest_of(
    embeddings: NDArray[np.floating],
    rows: NDArray[np.int64],
    query: NDArray[np.float32],
    k: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k nearest among some rows (n,), k <= n, of (N, D) embeddings; as `Neighbors.search`.

    Single precision chooses whom double precision orders.
    """
    squared = squared_distances_to(embeddings, rows, query)
    rows = rows[squared <= _kth(squared, k) * (1 + _SINGLE_SLACK)]
    difference = embeddings[rows].astype(np.float64) - query.astype(np.float64)
    distances = np.sqrt((difference**2).sum(axis=1))
    order = np.lexsort((rows, distances))[:k]
    return distances[order], rows[order]


def _kth(values: NDArray[np.float32], k: int) -> float:
    """The k-th smallest, k counted from 1."""
    return float(np.partition(values, k - 1)[k - 1])
