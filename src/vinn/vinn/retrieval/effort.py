"""How much an approximate search has to read: chosen on the user's own frames, asked from outside.

A stored frame's own demonstration would answer for it: its frames are left out on both sides, and
so are lists that hold nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.retrieval.distances import squared_distances_to
from vinn.retrieval.inverted_file import COMPONENTS, InvertedFile
from vinn.retrieval.projected import nearest_of

GOAL_RECALL = 0.995
"""Share of the true k nearest that a search must find on average over the frames it is tried on:
a little more than the 0.99 wanted of frames that it has not seen."""
CANDIDATES_PER_NEIGHBOR = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Numbers of candidates to choose from, per neighbour asked for."""
_BLOCK_ROWS = 50_000
_SAME = 1e-5
"""Distances that differ by a smaller share are equal but for rounding in single precision."""
_GATHERED = 3.0
"""A number of a row somewhere in memory costs about this many times one that a list holds."""


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
    inverted_file: InvertedFile,
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    asked: NDArray[np.int64] | None = None,
    k: int = 10,
    queries: int = 200,
    seed: int = 0,
) -> SearchEffort:
    """The least effort whose recall reaches `GOAL_RECALL`; where none does, the best there is.

    Args:
        inverted_file: of the N rows.
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
    list_of = inverted_file.list_of_each_row()
    questions = [
        _Question.of(
            inverted_file,
            np.asarray(embeddings[row], np.float32),
            np.flatnonzero(demonstration_ids == demonstration_ids[row]),
            list_of,
            truth,
        )
        for row, truth in zip(rows, truths, strict=True)
        if len(truth)
    ]
    lists = inverted_file.number_of_lists
    best: tuple[float, float, SearchEffort] | None = None
    for probes in _probe_numbers(lists):
        lists_cost = count * probes / lists * min(COMPONENTS, dimension)
        if best is not None and best[0] == -GOAL_RECALL and lists_cost >= best[1]:
            break
        recalls = [question.recalls(inverted_file, embeddings, probes) for question in questions]
        for column, candidates in enumerate(CANDIDATES_PER_NEIGHBOR):
            recall = float(np.mean([each[column] for each in recalls])) if recalls else 1.0
            cost = lists_cost + _GATHERED * candidates * k * dimension
            # Past the goal only the cost counts.
            rank = (-min(recall, GOAL_RECALL), cost)
            if best is None or rank < best[:2]:
                effort = SearchEffort(probes, candidates, recall, k, len(rows))
                best = (*rank, effort)
    if best is None:
        raise ValueError("an inverted file without lists")
    return best[2]


def _nearest_of_others(
    embeddings: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    rows: NDArray[np.int64],
    k: int,
) -> list[NDArray[np.float64]]:
    """Distances of the k nearest of each of some rows, without their own demonstrations.

    One pass over the memory for all of them; single precision names some more than k, double
    precision orders them. Ascending; fewer than k where there are no more.
    """
    asked = np.asarray(embeddings[rows], np.float32)
    spare = 2 * k
    nearest = np.full((len(rows), spare), np.inf, np.float32)
    named = np.zeros((len(rows), spare), np.int64)
    for start in range(0, len(embeddings), _BLOCK_ROWS):
        block = np.asarray(embeddings[start : start + _BLOCK_ROWS], np.float32)
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
            found.append(nearest_of(embeddings, others, query, min(k, len(others)))[0])
        else:
            found.append(np.empty(0))
    return found


@dataclass(frozen=True)
class _Question:
    """A stored frame to ask about, as if its own demonstration were not stored.

    Attributes:
        query: (D,).
        place: (m,) its components.
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
        inverted_file: InvertedFile,
        query: NDArray[np.float32],
        left_out: NDArray[np.int64],
        list_of: NDArray[np.int64],
        truth: NDArray[np.float64],
    ) -> _Question:
        """Args: as the attributes, and the list that each row is in."""
        lists = inverted_file.number_of_lists
        others = np.bincount(list_of, minlength=lists)
        others -= np.bincount(list_of[left_out], minlength=lists)
        place = inverted_file.place(query)
        probes = np.flatnonzero(others[inverted_file.lists_by_distance(place)] > 0) + 1
        return cls(query, place, left_out, probes, truth)

    def recalls(
        self, inverted_file: InvertedFile, embeddings: NDArray[np.floating], probes: int
    ) -> list[float]:
        """Recall for each of `CANDIDATES_PER_NEIGHBOR`, with one search."""
        k = len(self.truth)
        most = min(len(embeddings), CANDIDATES_PER_NEIGHBOR[-1] * k)
        read = int(self.probes[min(probes, len(self.probes)) - 1])
        rows = inverted_file.rows_near(self.place, most, read, self.left_out)
        squared = squared_distances_to(embeddings, rows, self.query)
        distances = np.sqrt(squared.astype(np.float64))
        return [
            recall_of(np.sort(distances[: candidates * k])[:k], self.truth)
            for candidates in CANDIDATES_PER_NEIGHBOR
        ]


def recall_of(found: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Share of the k true nearest distances (k,) that were reached, ascending both; (n <= k,).

    By distance and not by row: among equally distant frames any is as good.
    """
    if not len(truth):
        return 1.0
    return float((found <= truth[-1] * (1 + _SAME)).sum() / len(truth))


def _probe_numbers(lists: int) -> tuple[int, ...]:
    """1, 2, 3, ..., 8, 10, 11, 13, 16, ..., lists: the fourth root of 2 apart."""
    numbers = {round(2.0 ** (step / 4)) for step in range(int(4 * np.log2(lists)) + 1)}
    return (*sorted(number for number in numbers if number < lists), lists)
