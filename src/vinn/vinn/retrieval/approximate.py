"""Approximate search for memories past what an exact one answers in time.

An inverted file over the coordinates of `vinn.retrieval.projection` names candidates; their true
distances, from the full embeddings, order them. How many lists are probed and how many candidates
are measured is chosen together at build time: the cheapest pair whose recall on the user's own
frames suffices. (Either alone caps the recall: a neighbour in a list that was not read is never
named, and one whose coordinates lie are behind too many others is never measured.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactError
from vinn.retrieval.neighbors import check_search
from vinn.retrieval.projected import nearest_of
from vinn.retrieval.projection import Projection

GOAL_RECALL = 0.995
"""Share of the true k nearest that a search must find on average over the frames it is tried on:
a little more than the 0.99 wanted of frames that it has not seen."""
CANDIDATES_PER_NEIGHBOR = (8, 16, 32, 64, 128)
"""Numbers of candidates to choose from, per neighbour asked for."""
_LISTS_PER_ROOT = 4
"""Lists = this times sqrt(N): balances finding the lists and reading them."""
_TRAINING_ROWS_PER_LIST = 40
_ADD_ROWS = 50_000
_GATHERED = 2.0
"""Reading a row somewhere in memory costs about this many times a number read in passing."""


class ApproximateNeighbors:
    """Inverted file with exact distances for what it finds; in one thread."""

    def __init__(
        self,
        embeddings: NDArray[np.floating],
        projection: Projection,
        index: Any,
        probes: int,
        candidates_per_neighbor: int,
    ) -> None:
        """Use `build_inverted_file` or `read_inverted_file` for `index`.

        Args:
            embeddings: (N, D), single or half precision; kept, not copied.
            projection: whose coordinates `index` holds.
            index: `faiss.IndexIVFFlat` over N rows of m + 1 coordinates.
            probes: lists that a query reads.
            candidates_per_neighbor: times k, rows whose true distance is computed.
        """
        faiss.omp_set_num_threads(1)
        self._embeddings, self._projection, self._index = embeddings, projection, index
        self.probes, self.candidates_per_neighbor = probes, candidates_per_neighbor

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
        check_search(query, k, self.count, self.dimension)
        own = self._projection.coordinates(query[None])
        wanted = min(self.count, self.candidates_per_neighbor * k)
        probes = self.probes
        while True:
            rows = _candidates(self._index, own, wanted, probes)
            if len(rows) >= k:
                return nearest_of(self._embeddings, rows, query, k)
            probes = min(2 * probes, self.lists)


def _candidates(
    index: Any,
    own: NDArray[np.float32],
    wanted: int,
    probes: int,
    left_out: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Rows of the probed lists by distance to coordinates (1, m + 1), at most `wanted`."""
    parameters: Any = faiss.SearchParametersIVF()
    parameters.nprobe = probes
    if left_out is not None and len(left_out):
        # Both must outlive the search: FAISS keeps bare pointers.
        some = faiss.IDSelectorBatch(left_out)
        others = faiss.IDSelectorNot(some)
        parameters.sel = others
    found: NDArray[np.int64] = index.search(own, wanted, params=parameters)[1][0]
    return found[found >= 0]


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
class SearchEffort:
    """How much an approximate search reads, and what that finds.

    Attributes:
        probes: lists that a query reads.
        candidates_per_neighbor: times k, rows whose true distance is computed.
        recall: mean share of the k nearest that are found.
        k: neighbours asked for.
        queries: frames asked about.
    """

    probes: int
    candidates_per_neighbor: int
    recall: float
    k: int
    queries: int


def choose_effort(
    index: Any,
    projection: Projection,
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    k: int = 10,
    queries: int = 200,
    seed: int = 0,
) -> SearchEffort:
    """The least effort whose recall reaches `GOAL_RECALL`, asked as a robot will: from outside.

    A query is a stored frame; frames of its own demonstration do not count on either side. Where
    nothing reaches the goal, the best there is.

    Args:
        index: inverted file over the N rows.
        projection: whose coordinates it holds.
        embeddings: (N, D).
        demonstration_ids: (N,).
        k: neighbours, fewer where the other demonstrations have fewer frames.
        queries: frames asked about, drawn with `seed`.
        seed: of the draw.
    """
    count, dimension = embeddings.shape
    rows = np.random.default_rng(seed).choice(count, min(queries, count), replace=False)
    truths = _nearest_of_others(embeddings, demonstration_ids, rows, k)
    questions = [
        (np.asarray(embeddings[row], np.float32), demonstration_ids[row], truth)
        for row, truth in zip(rows, truths, strict=True)
        if len(truth)
    ]
    own = {one: np.flatnonzero(demonstration_ids == one) for _, one, _ in questions}
    best: tuple[float, float, SearchEffort] | None = None
    for probes in _probe_numbers(int(index.nlist)):
        lists_cost = count * probes / index.nlist * (projection.components + 1)
        if best is not None and best[0] == -GOAL_RECALL and lists_cost >= best[1]:
            break
        recalls = [
            _recall_by_candidates(index, projection, embeddings, probes, query, own[one], truth)
            for query, one, truth in questions
        ]
        for column, candidates in enumerate(CANDIDATES_PER_NEIGHBOR):
            recall = float(np.mean([each[column] for each in recalls])) if recalls else 1.0
            cost = lists_cost + _GATHERED * candidates * k * dimension
            # Past the goal only the cost counts.
            rank = (-min(recall, GOAL_RECALL), cost)
            if best is None or rank < best[:2]:
                best = (*rank, SearchEffort(probes, candidates, recall, k, len(rows)))
    if best is None:
        raise ValueError("an inverted file without lists")
    return best[2]


def _nearest_of_others(
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    rows: NDArray[np.int64],
    k: int,
) -> list[NDArray[np.float64]]:
    """Distances of the k nearest of each of some rows, their own demonstrations left out.

    One pass over the memory for all of them; single precision names some more than k, double
    precision orders them. Ascending; fewer than k where there are no more.
    """
    asked = np.asarray(embeddings[rows], np.float32)
    spare = 2 * k
    nearest = np.full((len(rows), spare), np.inf, np.float32)
    named = np.zeros((len(rows), spare), np.int64)
    for start in range(0, len(embeddings), _ADD_ROWS):
        block = np.asarray(embeddings[start : start + _ADD_ROWS], np.float32)
        squared = np.einsum("ij,ij->i", block, block) - 2.0 * (asked @ block.T)
        own = demonstration_ids[rows][:, None] == demonstration_ids[start : start + len(block)]
        squared[own] = np.inf
        # |x - q|^2 without |q|^2: the order is the same.
        both = np.concatenate([nearest, squared], axis=1)
        numbers = np.concatenate(
            [named, np.broadcast_to(np.arange(start, start + len(block)), squared.shape)], axis=1
        )
        chosen = np.argpartition(both, spare - 1, axis=1)[:, :spare]
        nearest = np.take_along_axis(both, chosen, axis=1)
        named = np.take_along_axis(numbers, chosen, axis=1)
    found = []
    for query, near, numbers in zip(asked, nearest, named, strict=True):
        others = embeddings[numbers[np.isfinite(near)]].astype(np.float64)
        distances = np.sqrt(((others - query.astype(np.float64)) ** 2).sum(axis=1))
        found.append(np.sort(distances)[:k])
    return found


def _recall_by_candidates(
    index: Any,
    projection: Projection,
    embeddings: NDArray[np.floating],
    probes: int,
    query: NDArray[np.float32],
    left_out: NDArray[np.int64],
    truth: NDArray[np.float64],
) -> list[float]:
    """Recall of `truth` (k,) for each of `CANDIDATES_PER_NEIGHBOR`, with one search."""
    k = len(truth)
    most = min(len(embeddings), CANDIDATES_PER_NEIGHBOR[-1] * k)
    rows = _candidates(index, projection.coordinates(query[None]), most, probes, left_out)
    difference = embeddings[rows].astype(np.float64) - query.astype(np.float64)
    distances = np.sqrt((difference**2).sum(axis=1))
    return [
        recall_of(np.sort(distances[: candidates * k])[:k], truth)
        for candidates in CANDIDATES_PER_NEIGHBOR
    ]


def recall_of(found: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Share of the k true nearest distances (k,) that were reached, ascending both; (n <= k,).

    By distance and not by row: among equally distant frames any is as good.
    """
    if not len(truth):
        return 1.0
    return float((found <= truth[-1] * (1 + 1e-9)).sum() / len(truth))


def _probe_numbers(lists: int) -> tuple[int, ...]:
    numbers = []
    probes = 1
    while probes < lists:
        numbers.append(probes)
        probes *= 2
    return (*numbers, lists)
