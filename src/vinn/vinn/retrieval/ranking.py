"""Does a cheaper embedding still find the same neighbours? Measured on the user's own frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations

NEIGHBORS = 10
MAX_QUERIES = 2000
_EQUAL = 1 + 1e-6
"""Rows this much further than another count as equally far: duplicates have no order."""


@dataclass(frozen=True)
class RankingAgreement:
    """How alike two rankings of the same frames are.

    Attributes:
        overlap: mean share of one's k nearest that are among the other's.
        first: share of the queries with the same nearest frame.
        k: neighbours compared.
        queries: frames asked for, their own demonstration left out.
    """

    overlap: float
    first: float
    k: int
    queries: int

    def __str__(self) -> str:
        return (
            f"{self.overlap:.1%} of the {self.k} nearest and {self.first:.1%} of the nearest stay, "
            f"over {self.queries} frames"
        )


def compare_rankings(
    reference: NDArray[np.floating],
    other: NDArray[np.floating],
    demonstration_ids: NDArray[np.int64],
    k: int = NEIGHBORS,
    max_queries: int = MAX_QUERIES,
    seed: int = 0,
) -> RankingAgreement:
    """Compare whom the frames find among other demonstrations by two embeddings of them.

    Args:
        reference: (N, D) of the same N frames as
        other: (N, E).
        demonstration_ids: (N,); a frame's own demonstration does not count.
        k: neighbours compared; fewer where there are not so many frames.
        max_queries: a seeded sample of so many frames is asked for.
        seed: of the sample.

    Raises:
        DatasetError: fewer than 2 demonstrations.
    """
    count = len(reference)
    longest = int(np.unique(demonstration_ids, return_counts=True)[1].max())
    k = max(1, min(k, count - longest))
    asked = np.arange(count)
    if count > max_queries:
        chosen = np.random.default_rng(seed).choice(count, max_queries, replace=False)
        asked = np.sort(chosen)
    true, _ = neighbors_in_other_demonstrations(reference, demonstration_ids, k, asked)
    _, found = neighbors_in_other_demonstrations(other, demonstration_ids, k, asked)
    distances = np.stack(
        [
            np.linalg.norm(reference[rows].astype(np.float64) - reference[query], axis=1)
            for query, rows in zip(asked, found, strict=True)
        ]
    )
    # Both distances are rounded in their own way; so far apart they are one.
    tiny = 1e-6 * float(true.max())
    return RankingAgreement(
        overlap=float((distances <= true[:, -1:] * _EQUAL + tiny).mean()),
        first=float((distances[:, 0] <= true[:, 0] * _EQUAL + tiny).mean()),
        k=k,
        queries=len(asked),
    )
