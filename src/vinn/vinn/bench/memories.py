"""Embeddings to measure a search on: a dataset's own, and more of their kind.

Search by bounds is as fast as the embeddings are structured, so random vectors would say nothing.
Where a dataset is too small, its embeddings are extended: each new one is a real one, moved part
of the way to the next frame of its demonstration and along differences between consecutive frames
of other demonstrations. Figures on them are labelled "augmented".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BORROWED = 4
"""Differences of other places that a new embedding takes up."""
_BLOCK_ROWS = 10_000


@dataclass(frozen=True)
class BenchMemory:
    """Embeddings to remember, and held-out ones to ask about.

    Attributes:
        embeddings: (N, D) float32, of demonstrations.
        demonstration_ids: (N,).
        queries: (Q, D) float32, frames of other demonstrations.
    """

    embeddings: NDArray[np.float32]
    demonstration_ids: NDArray[np.int64]
    queries: NDArray[np.float32]


def asked_about(demonstration_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) which frames are not remembered but asked about: those of every fifth demonstration."""
    return np.asarray(demonstration_ids % 5 == 0)


def hold_out(
    embeddings: NDArray[np.float32],
    demonstration_ids: NDArray[np.int64],
    queries: int,
    seed: int = 0,
) -> BenchMemory:
    """Every fifth demonstration is asked about, the others are remembered."""
    asked = asked_about(demonstration_ids)
    rows = np.flatnonzero(asked)
    chosen = np.random.default_rng(seed).permutation(rows)[:queries]
    return BenchMemory(embeddings[~asked], demonstration_ids[~asked], embeddings[chosen])


def extended(
    memory: BenchMemory, count: int, seed: int = 0, path: Path | None = None
) -> NDArray[np.float32]:
    """(count, D) embeddings: the memory's own, then augmented ones.

    Args:
        memory: real embeddings.
        count: as many.
        seed: of all draws.
        path: of a file to keep them in, mapped; None: in memory.
    """
    real, ids = memory.embeddings, memory.demonstration_ids
    if count <= len(real):
        return real[:count]
    # The last frame of a demonstration has no next one and stands for itself.
    follows = np.append(ids[1:] == ids[:-1], False)
    steps = np.where(follows[:, None], np.roll(real, -1, axis=0) - real, np.float32(0))
    shape = (count, real.shape[1])
    found: NDArray[np.float32] = (
        np.empty(shape, np.float32)
        if path is None
        else np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    )
    found[: len(real)] = real
    rng = np.random.default_rng(seed)
    for start in range(len(real), count, _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, count))
        base = rows % len(real)
        new = real[base] + rng.random((len(rows), 1), np.float32) * steps[base]
        for _ in range(_BORROWED):
            amount = rng.normal(scale=0.5, size=(len(rows), 1)).astype(np.float32)
            new += amount * steps[rng.integers(len(real), size=len(rows))]
        found[rows] = new
    return found
