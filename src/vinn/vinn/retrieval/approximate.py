"""Approximate search for memories past what an exact one answers in time.

FAISS's inverted file (`vinn.retrieval.inverted_file`) names candidates; their true distances, from
the embeddings themselves, order them. How many lists are read and how many candidates are measured
is chosen together when it is built, on the user's own frames (`vinn.retrieval.effort`). Either
alone caps the recall: a neighbour in a list that was not read is never named, and one whose
components lie behind too many others is never measured.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from vinn.retrieval.inverted_file import InvertedFile
from vinn.retrieval.neighbors import check_search
from vinn.retrieval.projected import nearest_of


class ApproximateNeighbors:
    """Inverted file with exact distances for what it finds; in one thread."""

    def __init__(
        self,
        embeddings: NDArray[np.floating],
        inverted_file: InvertedFile,
        probes: int,
        candidates_per_neighbor: int,
    ) -> None:
        """Prepare the search.

        Args:
            embeddings: (N, D), single or half precision; kept, and not copied if C-contiguous.
            inverted_file: of these rows.
            probes: lists that a query reads.
            candidates_per_neighbor: times k, rows whose true distance is computed.
        """
        faiss.omp_set_num_threads(1)
        self._embeddings = np.ascontiguousarray(embeddings)
        self._inverted_file = inverted_file
        self.probes, self.candidates_per_neighbor = probes, candidates_per_neighbor

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
        """See `Neighbors.search`; some of the k nearest may be replaced by slightly farther ones.

        Where the lists read hold fewer than k rows, more are read.
        """
        check_search(query, k, self.count, self.dimension)
        place = self._inverted_file.place(query)
        wanted = min(self.count, self.candidates_per_neighbor * k)
        probes = self.probes
        while True:
            rows = self._inverted_file.rows_near(place, wanted, probes)
            if len(rows) >= k:
                return nearest_of(self._embeddings, rows, query, k)
            probes = min(2 * probes, self._inverted_file.number_of_lists)
