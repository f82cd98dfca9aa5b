"""Exact search with FAISS."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from vinn.retrieval.neighbors import check_search


class FlatNeighbors:
    """Exact search over all rows, in one thread (the fastest beside a busy robot's processes)."""

    def __init__(self, embeddings: NDArray[np.floating]) -> None:
        """Copy (N, D) embeddings into the index; N may not be 0."""
        faiss.omp_set_num_threads(1)
        self._index = faiss.IndexFlatL2(embeddings.shape[1])
        self._index.add(np.ascontiguousarray(embeddings, np.float32))

    @property
    def count(self) -> int:
        """N, the number of stored embeddings."""
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return int(self._index.d)

    def search(
        self, query: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """See `vinn.retrieval.neighbors.Neighbors.search`."""
        check_search(query, k, self.count, self.dimension)
        squared, rows = self._index.search(np.ascontiguousarray(query[None], np.float32), k)
        # FAISS returns squared distances, and rows of equal distance in no stated order.
        distances = np.sqrt(np.maximum(squared[0], 0).astype(np.float64))
        order = np.lexsort((rows[0], distances))
        return distances[order], rows[0][order]
