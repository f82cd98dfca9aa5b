"""Exact search that reads a tenth of the memory: bound first, measure what the bound lets through.

`vinn.retrieval.projection` gives a lower bound of the distance to every row. The true distance of
some promising rows gives an upper bound of the k-th smallest; every row whose lower bound exceeds
it is out. The answer is the same as brute force's, ties included: rounding is met with a slack on
the safe side, and the last comparison is done in double precision.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.retrieval.neighbors import check_search
from vinn.retrieval.projection import Projection

_BLOCK_ROWS = 256
"""Rows that share one smallest bound in the search for promising rows."""
_GATHER_ROWS = 128
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
            embeddings: (N, D), single or half precision; kept, not copied.
            projection: of D-vectors; None: fitted here.
            coordinates: (N, m + 1), the projection's of the embeddings; None: made here.
        """
        self._embeddings = embeddings
        self._projection = projection or Projection.fit(embeddings)
        if coordinates is None:
            coordinates = self._projection.coordinates(embeddings)
        # One coordinate after the other: a query is then a sum of m + 1 long vectors.
        self._transposed = np.ascontiguousarray(coordinates.T)
        self._squared = np.einsum("ij,ij->i", coordinates, coordinates, dtype=np.float64).astype(
            np.float32
        )
        self._largest = float(self._squared.max())
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
        own = self._projection.coordinates(query[None])[0]
        own_squared = float(own.astype(np.float64) @ own.astype(np.float64))
        bounds = own @ self._transposed
        bounds *= -2.0
        bounds += self._squared
        # `bounds` lacks the query's own squared length, which is the same for all rows.
        slack = _SINGLE_SLACK * (self._largest + own_squared)
        promising = self._promising(bounds, k)
        upper = _kth(_squared_distances(self._embeddings, promising, query), k)
        rows = np.flatnonzero(bounds <= upper * (1 + _SINGLE_SLACK) - own_squared + slack)
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
    squared = _squared_distances(embeddings, rows, query)
    rows = rows[squared <= _kth(squared, k) * (1 + _SINGLE_SLACK)]
    difference = embeddings[rows].astype(np.float64) - query.astype(np.float64)
    distances = np.sqrt((difference**2).sum(axis=1))
    order = np.lexsort((rows, distances))[:k]
    return distances[order], rows[order]


def _squared_distances(
    embeddings: NDArray[np.floating], rows: NDArray[np.int64], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """To some rows, block by block; each has a relative error of some sqrt(D) roundings."""
    squared = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _GATHER_ROWS):
        block = slice(start, start + _GATHER_ROWS)
        difference = embeddings[rows[block]] - query
        squared[block] = np.einsum("ij,ij->i", difference, difference)
    return squared


def _kth(values: NDArray[np.float32], k: int) -> float:
    """The k-th smallest, k counted from 1."""
    return float(np.partition(values, k - 1)[k - 1])
