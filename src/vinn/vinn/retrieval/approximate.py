"""Approximate search for memories past what an exact one answers in time.

An inverted file over the coordinates of `vinn.retrieval.projection` names candidates; their true
distances, from the full embeddings, order them. How many lists are probed and how many candidates
are measured is chosen together at build time: the cheapest pair whose recall on the user's own
frames suffices. (Either alone caps the recall: a neighbour in a list that was not read is never
named, and one whose coordinates lie behind too many others is never measured.)

Candidates are ranked by an estimate of their distance, not by its lower bound. With (p, r) of
`vinn.retrieval.projection`,

    ||e - q||^2  =  ||p_e - p_q||^2 + r_e^2 + r_q^2 - 2 c r_e r_q,

c being the cosine between what the projection leaves over of both. The bound takes c = 1; near
neighbours have some c < 1, of which the mean over the frames tried is kept. Up to a term that is
the query's alone this is the distance to (p_q, c r_q): the index need not know.

The lists hold what coordinates differ by from their list's centre, in bfloat16: half the memory to
read, with the range of single precision, and small differences keep their precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactError
from vinn.reading.regular import check_regular, parsing
from vinn.retrieval.distances import squared_distances_to
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
_SAME = 1e-5
"""Distances that differ by a smaller share are equal but for rounding in single precision."""
_GATHERED = 3.0
"""A number of a row somewhere in memory costs about this many times one that a list holds."""


class ApproximateNeighbors:
    """Inverted file with exact distances for what it finds; in one thread."""

    def __init__(
        self,
        embeddings: NDArray[np.floating],
        projection: Projection,
        index: Any,
        probes: int,
        candidates_per_neighbor: int,
        residual_cosine: float,
    ) -> None:
        """Use `build_inverted_file` or `read_inverted_file` for `index`.

        Args:
            embeddings: (N, D), single or half precision; kept, and not copied if C-contiguous.
            projection: whose coordinates `index` holds.
            index: `faiss.IndexIVFScalarQuantizer` over N rows of m + 1 coordinates.
            probes: lists that a query reads.
            candidates_per_neighbor: times k, rows whose true distance is computed.
            residual_cosine: c of the estimated distance, see above.
        """
        faiss.omp_set_num_threads(1)
        self._embeddings = np.ascontiguousarray(embeddings)
        self._projection, self._index = projection, index
        self.probes, self.candidates_per_neighbor = probes, candidates_per_neighbor
        self.residual_cosine = residual_cosine

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
        own = _place(self._projection, query, self.residual_cosine)
        wanted = min(self.count, self.candidates_per_neighbor * k)
        probes = self.probes
        while True:
            rows = _candidates(self._index, own, wanted, probes)
            if len(rows) >= k:
                return nearest_of(self._embeddings, rows, query, k)
            probes = min(2 * probes, self.lists)


def _place(
    projection: Projection, query: NDArray[np.float32], residual_cosine: float
) -> NDArray[np.float32]:
    """(m + 1,) from where the coordinates' distances estimate those to a query (D,)."""
    place = projection.coordinates_of(query)
    place[-1] *= residual_cosine
    return place


def _candidates(
    index: Any,
    own: NDArray[np.float32],
    wanted: int,
    probes: int,
    left_out: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Rows of the probed lists by distance to coordinates (m + 1,), at most `wanted`."""
    parameters: Any = faiss.SearchParametersIVF()
    parameters.nprobe = probes
    if left_out is not None and len(left_out):
        # Both must outlive the search: FAISS keeps bare pointers.
        some = faiss.IDSelectorBatch(left_out)
        others = faiss.IDSelectorNot(some)
        parameters.sel = others
    found: NDArray[np.int64] = index.search(own[None], wanted, params=parameters)[1][0]
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
    index: Any = faiss.index_factory(width, f"IVF{lists},SQbf16", faiss.METRIC_L2)
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
    check_regular(path, ArtefactError)
    with parsing(path, ArtefactError, "a FAISS index"):
        index = faiss.read_index(str(path))
    if not isinstance(index, faiss.IndexIVFScalarQuantizer):
        raise ArtefactError(
            f"{path}: {type(index).__name__}; allowed: IndexIVFScalarQuantizer "
            "(make the index again: `vinn policy index`)"
        )
    return index


@dataclass(frozen=True)
class SearchEffort:
    """How much an approximate search reads, and what that finds.

    Attributes:
        probes: lists that a query reads.
        candidates_per_neighbor: times k, rows whose true distance is computed.
        residual_cosine: c of the estimated distance.
        recall: mean share of the k nearest that are found.
        k: neighbours asked for.
        queries: frames asked about.
    """

    probes: int
    candidates_per_neighbor: int
    residual_cosine: float
    recall: float
    k: int
    queries: int


def choose_effort(
    index: Any,
    projection: Projection,
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    asked: NDArray[np.int64] | None = None,
    k: int = 10,
    queries: int = 200,
    seed: int = 0,
) -> SearchEffort:
    """The least effort whose recall reaches `GOAL_RECALL`, asked as a robot will: from outside.

    A query is a stored frame; frames of its own demonstration do not count on either side, nor do
    lists that hold nothing else. Where nothing reaches the goal, the best there is.

    Args:
        index: inverted file over the N rows.
        projection: whose coordinates it holds.
        embeddings: (N, D).
        demonstration_ids: (N,).
        asked: rows that are like what will be asked about; None: all.
        k: neighbours, fewer where the other demonstrations have fewer frames.
        queries: frames asked about, drawn with `seed`.
        seed: of the draw.
    """
    count, dimension = embeddings.shape
    asked = np.arange(count) if asked is None else asked
    rows = np.random.default_rng(seed).choice(asked, min(queries, len(asked)), replace=False)
    truths = _nearest_of_others(embeddings, demonstration_ids, rows, k)
    cosine = _residual_cosine(projection, embeddings, rows, truths)
    list_of = _list_of_each_row(index, count)
    questions = [
        _Question.of(
            index,
            np.asarray(embeddings[row], np.float32),
            _place(projection, embeddings[row], cosine),
            np.flatnonzero(demonstration_ids == demonstration_ids[row]),
            list_of,
            truth,
        )
        for row, (truth, _) in zip(rows, truths, strict=True)
        if len(truth)
    ]
    best: tuple[float, float, SearchEffort] | None = None
    for probes in _probe_numbers(int(index.nlist)):
        lists_cost = count * probes / index.nlist * (projection.components + 1)
        if best is not None and best[0] == -GOAL_RECALL and lists_cost >= best[1]:
            break
        recalls = [question.recalls(index, embeddings, probes) for question in questions]
        for column, candidates in enumerate(CANDIDATES_PER_NEIGHBOR):
            recall = float(np.mean([each[column] for each in recalls])) if recalls else 1.0
            cost = lists_cost + _GATHERED * candidates * k * dimension
            # Past the goal only the cost counts.
            rank = (-min(recall, GOAL_RECALL), cost)
            if best is None or rank < best[:2]:
                effort = SearchEffort(probes, candidates, cosine, recall, k, len(rows))
                best = (*rank, effort)
    if best is None:
        raise ValueError("an inverted file without lists")
    return best[2]


def _nearest_of_others(
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    rows: NDArray[np.int64],
    k: int,
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Distances and rows of the k nearest of each of some rows, without their own demonstrations.

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
        others = numbers[np.isfinite(near)]
        if len(others):
            found.append(nearest_of(embeddings, others, query, min(k, len(others))))
        else:
            found.append((np.empty(0), others))
    return found


def _residual_cosine(
    projection: Projection,
    embeddings: NDArray[np.floating],
    rows: NDArray[np.int64],
    nearest: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]],
) -> float:
    """Mean cosine between what the projection leaves over of rows (n,) and of their nearest."""
    cosines = []
    for row, (distances, others) in zip(rows, nearest, strict=True):
        query = projection.coordinates_of(np.asarray(embeddings[row], np.float32))
        found = projection.coordinates(embeddings[others])
        left = found[:, -1].astype(np.float64) * query[-1]
        inside = ((found[:, :-1] - query[:-1]).astype(np.float64) ** 2).sum(axis=1)
        twice = inside + found[:, -1] ** 2 + query[-1] ** 2 - distances**2
        cosines.append(twice[left > 0] / (2 * left[left > 0]))
    known = np.concatenate(cosines) if cosines else np.empty(0)
    return float(np.clip(known.mean(), 0.0, 1.0)) if len(known) else 1.0


@dataclass(frozen=True)
class _Question:
    """A stored frame to ask about, as if its own demonstration were not stored.

    Attributes:
        query: (D,).
        place: (m + 1,), see `_place`.
        left_out: rows of its demonstration.
        probes: (lists,) how many of the nearest lists are read where, of these, 1, 2, ... hold
            anything else: the others would not be there.
        truth: (k,) distances of its true nearest.
    """

    query: NDArray[np.float32]
    place: NDArray[np.float32]
    left_out: NDArray[np.int64]
    probes: NDArray[np.int64]
    truth: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        index: Any,
        query: NDArray[np.float32],
        place: NDArray[np.float32],
        left_out: NDArray[np.int64],
        list_of: NDArray[np.int64],
        truth: NDArray[np.float64],
    ) -> _Question:
        """Args: as the attributes, and the list that each row is in."""
        lists = int(index.nlist)
        others = np.bincount(list_of, minlength=lists)
        others -= np.bincount(list_of[left_out], minlength=lists)
        nearest = index.quantizer.search(place[None], lists)[1][0]
        probes = np.flatnonzero(others[nearest] > 0) + 1
        return cls(query, place, left_out, probes, truth)

    def recalls(self, index: Any, embeddings: NDArray[np.floating], probes: int) -> list[float]:
        """Recall for each of `CANDIDATES_PER_NEIGHBOR`, with one search."""
        k = len(self.truth)
        most = min(len(embeddings), CANDIDATES_PER_NEIGHBOR[-1] * k)
        read = int(self.probes[min(probes, len(self.probes)) - 1])
        rows = _candidates(index, self.place, most, read, self.left_out)
        squared = squared_distances_to(embeddings, rows, self.query)
        distances = np.sqrt(squared.astype(np.float64))
        return [
            recall_of(np.sort(distances[: candidates * k])[:k], self.truth)
            for candidates in CANDIDATES_PER_NEIGHBOR
        ]


def _list_of_each_row(index: Any, count: int) -> NDArray[np.int64]:
    """(N,) the number of the list that each row is in."""
    found = np.zeros(count, np.int64)
    for number in range(int(index.nlist)):
        size = index.invlists.list_size(number)
        if size:
            found[faiss.rev_swig_ptr(index.invlists.get_ids(number), size)] = number
    return found


def recall_of(found: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Share of the k true nearest distances (k,) that were reached, ascending both; (n <= k,).

    By distance and not by row: among equally distant frames any is as good.
    """
    if not len(truth):
        return 1.0
    return float((found <= truth[-1] * (1 + _SAME)).sum() / len(truth))


def _probe_numbers(lists: int) -> tuple[int, ...]:
    """1, 2, 3, 4, 6, 8, 11, 16, ..., lists: about sqrt(2) apart."""
    numbers = {round(2.0 ** (step / 2)) for step in range(int(2 * np.log2(lists)) + 1)}
    return (*sorted(number for number in numbers if number < lists), lists)
