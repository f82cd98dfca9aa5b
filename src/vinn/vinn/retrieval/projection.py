"""A few coordinates of each embedding that bound its distance to any query from below.

With orthonormal columns B (D, m) and centre c, write p = B^T (e - c) and r = ||e - c - B p||, the
length of what B leaves over. By the triangle inequality in the orthogonal complement,

    ||e - q||^2  >=  ||p_e - p_q||^2 + (r_e - r_q)^2,

so the m + 1 numbers (p, r) give a lower bound of every distance from a small part of the memory.
Any orthonormal B will do; principal components make the bound tight. Rows may therefore be added
later without a new fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 127
"""With the length of what they leave over a row has 128 numbers, whole cache lines."""
_FIT_ROWS = 20_000
"""Rows the components are fitted to; more change them little and cost a second per 20,000."""
_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Projection:
    """Centre and orthonormal basis.

    Attributes:
        centre: (D,) float64.
        basis: (D, m) float64, orthonormal columns.
    """

    centre: NDArray[np.float64]
    basis: NDArray[np.float64]

    @property
    def components(self) -> int:
        """m."""
        return int(self.basis.shape[1])

    @classmethod
    def fit(
        cls, embeddings: NDArray[np.floating], components: int = COMPONENTS, seed: int = 0
    ) -> Projection:
        """The leading principal components of (a seeded sample of) N embeddings (N, D)."""
        count, dimension = embeddings.shape
        rows = np.arange(count)
        if count > _FIT_ROWS:
            rows = np.sort(np.random.default_rng(seed).choice(count, _FIT_ROWS, replace=False))
        sample = embeddings[rows].astype(np.float64)
        centre = sample.mean(axis=0)
        sample -= centre
        # eigh sorts by ascending variance.
        _, vectors = np.linalg.eigh(sample.T @ sample)
        basis = vectors[:, ::-1][:, : min(components, dimension)]
        return cls(centre, np.ascontiguousarray(basis))

    def coordinates_of(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(p, r) of one embedding (D,): (m + 1,). In the caller's thread (see
        `vinn.retrieval.distances`).
        """
        centred = query.astype(np.float64) - self.centre
        inside = np.einsum("i,ij->j", centred, self.basis)
        left = (centred**2).sum() - (inside**2).sum()
        return np.append(inside, np.sqrt(max(left, 0.0))).astype(np.float32)

    def coordinates(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """(p, r) of (N, D) embeddings: (N, m + 1)."""
        found = np.empty((len(embeddings), self.components + 1), np.float32)
        for start in range(0, len(embeddings), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            centred = embeddings[block].astype(np.float64) - self.centre
            inside = centred @ self.basis
            left = (centred**2).sum(axis=1) - (inside**2).sum(axis=1)
            found[block, :-1] = inside
            found[block, -1] = np.sqrt(np.maximum(left, 0.0))
        return found
