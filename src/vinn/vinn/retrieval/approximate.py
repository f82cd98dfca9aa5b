"""Approximate search for memories past what an exact one answers in time.

An inverted file over the coordinates of `vinn.retrieval.projection` names candidates; their true
distances, from the full embeddings, order them. How many lists are probed is chosen at build time,
by the recall measured on the user's own frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactError
from vinn.retrieval.neighbors import Neighbors, check_search
from vinn.retrieval.projected import nearest_of
from vinn.retrieval.projection import Projection

GOAL_RECALL = 0.99
"""Share of the true k nearest that the number of probes must find on average."""
_CANDIDATES_PER_NEIGHBOR = 16
_LISTS_PER_ROOT = 4
"""Lists = this times sqrt(N): balances finding the lists and reading them."""
_TRAINING_ROWS_PER_LIST = 40
_ADD_ROWS = 50_000


class ApproximateNeighbors:
    """Inverted file with exact distances for what it finds; in one thread."""

    def __init__(
        self,
        embeddings: NDArray[np.floating],
        projection: Projection,
        index: Any,
        probes: int,
    ) -> None:
        """Use `build_inverted_file` or `read_inverted_file` for `index`.

        Args:
            embeddings: (N, D), single or half precision; kept, not copied.
            projection: whose coordinates `index` holds.
            index: `faiss.IndexIVFFlat` over N rows of m + 1 coordinates.
            probes: lists that a query reads.
        """
        faiss.omp_set_num_threads(1)
        self._embeddings, self._projection, self._index = embeddings, projection, index
        self.probes = probes

    @property
    def count(self) -> int:
        """N, the number of stored embeddings."""
        return int(self._embeddings.shape[0])

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return int(self._embeddings.shape[1])

    @property
    def lists(self) -> int:
        """Lists of the inverted file: the most that can be probed."""
        return int(self._index.nlist)

    def search(
        self, query: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """See `Neighbors.search`; some of the k nearest may be replaced by slightly farther ones.

        Where the probed lists hold fewer than k rows, more lists are read.
        """
        return self.search_without(query, k, np.empty(0, np.int64))

    def search_without(
        self, query: NDArray[np.float32], k: int, left_out: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """`search` as if some rows (n,) were not stored; at least k others are."""
        check_search(query, k, self.count - len(left_out), self.dimension)
        own = self._projection.coordinates(query[None])
        wanted = min(self.count, _CANDIDATES_PER_NEIGHBOR * k)
        parameters: Any = faiss.SearchParametersIVF()
        if len(left_out):
            # Both must outlive the search: FAISS keeps bare pointers.
            some = faiss.IDSelectorBatch(left_out)
            others = faiss.IDSelectorNot(some)
            parameters.sel = others
        probes = self.probes
        while True:
            parameters.nprobe = probes
            found = self._index.search(own, wanted, params=parameters)[1][0]
            rows = found[found >= 0]
            if len(rows) >= k:
                return nearest_of(self._embeddings, rows, query, k)
            probes = min(2 * probes, self.lists)


def build_inverted_file(
    coordinates: NDArray[np.float32], seed: int = 0, lists: int | None = None
) -> Any:
    """An inverted file over (N, m + 1) coordinates; uses all processors while it builds.

    Args:
        coordinates: (N, m + 1) float32.
        seed: of the sample that the lists' centres are fitted to.
        lists: number of lists; None: 4 sqrt(N).
    """
    count, width = coordinates.shape
    if lists is None:
        lists = max(1, min(count, int(_LISTS_PER_ROOT * np.sqrt(count))))
    index: Any = faiss.index_factory(width, f"IVF{lists},Flat", faiss.METRIC_L2)
    index.cp.seed = seed
    rows = np.arange(count)
    most = _TRAINING_ROWS_PER_LIST * lists
    if count > most:
        rows = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    index.train(np.ascontiguousarray(coordinates[rows]))
    for start in range(0, count, _ADD_ROWS):
        index.add(np.ascontiguousarray(coordinates[start : start + _ADD_ROWS]))
    return index


def read_inverted_file(path: Path) -> Any:
    """An inverted file written with `faiss.write_index`.

    Raises:
        ArtefactError: it cannot be read or is something else.
    """
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as cause:
        raise ArtefactError(f"{path}: malformed or truncated FAISS index") from cause
    if not isinstance(index, faiss.IndexIVFFlat):
        raise ArtefactError(f"{path}: {type(index).__name__}; allowed: IndexIVFFlat")
    return index


@dataclass(frozen=True)
class RecallReport:
    """Recall against number of probes, on some of the memory's own frames.

    Attributes:
        probes: numbers of lists tried.
        recall: mean share of the k nearest that were found, per entry of `probes`.
        k: neighbours asked for.
        queries: frames asked about.
    """

    probes: tuple[int, ...]
    recall: tuple[float, ...]
    k: int
    queries: int

    @property
    def chosen(self) -> int:
        """The fewest probes that reach `GOAL_RECALL`, or the most that were tried."""
        good = [p for p, r in zip(self.probes, self.recall, strict=True) if r >= GOAL_RECALL]
        return good[0] if good else self.probes[-1]


def measure_recall(
    approximate: ApproximateNeighbors,
    exact: Neighbors,
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    k: int = 10,
    queries: int = 200,
    seed: int = 0,
) -> RecallReport:
    """How many of the true neighbours are found, asked as a robot will ask: from outside.

    A query is a stored frame; frames of its own demonstration do not count on either side.

    Args:
        approximate: N rows; its `probes` is left as it was.
        exact: the same N rows.
        embeddings: (N, D).
        demonstration_ids: (N,).
        k: neighbours, fewer where the other demonstrations have fewer frames.
        queries: frames asked about, drawn with `seed`.
        seed: of the draw.
    """
    rows = np.random.default_rng(seed).choice(
        len(embeddings), min(queries, len(embeddings)), replace=False
    )
    questions = []
    for row in rows:
        own = np.flatnonzero(demonstration_ids == demonstration_ids[row])
        wanted = min(k, len(embeddings) - len(own))
        if wanted:
            query = np.asarray(embeddings[row], np.float32)
            # An exact search that names more than enough may be filtered afterwards.
            distances, found = exact.search(query, wanted + len(own))
            truth = distances[~np.isin(found, own)][:wanted]
            questions.append((query, own, truth))
    before = approximate.probes
    tried = _probe_numbers(approximate.lists)
    recalls = []
    for probes in tried:
        approximate.probes = probes
        shares = [
            recall_of(approximate.search_without(query, len(truth), own)[0], truth)
            for query, own, truth in questions
        ]
        recalls.append(float(np.mean(shares)) if shares else 1.0)
        if recalls[-1] >= GOAL_RECALL:
            break
    approximate.probes = before
    return RecallReport(tried[: len(recalls)], tuple(recalls), k, len(rows))


def recall_of(found: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Share of the k true nearest distances (k,) that were reached, ascending both.

    By distance and not by row: among equally distant frames any is as good.
    """
    return float(np.mean(found <= truth[-1] * (1 + 1e-9))) if len(truth) else 1.0


def _probe_numbers(lists: int) -> tuple[int, ...]:
    numbers = []
    probes = 1
    while probes < lists:
        numbers.append(probes)
        probes *= 2
    return (*numbers, lists)
