"""Linear metrics: distances after a linear map fitted to the demonstrations.

    z = (x - mean) A        ||z - z'||^2 = (x - x')^T A A^T (x - x')

`pca_whitening` takes the principal components and scales them to equal variance;
`vinn.retrieval.nca` learns A from the actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.principal import principal_components

SHRINKAGE = 0.01
"""Added to every variance before whitening, as a share of the largest: noise stays small."""


@dataclass(frozen=True)
class LinearMetric:
    """z = (x - mean) A.

    Attributes:
        mean: (D,) float32.
        matrix: A, (D, M) float32.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]

    @property
    def inputs(self) -> int:
        """D."""
        return int(self.matrix.shape[0])

    @property
    def outputs(self) -> int:
        """M."""
        return int(self.matrix.shape[1])

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., D) to (..., M)."""
        mapped: NDArray[np.float32] = np.asarray((features - self.mean) @ self.matrix, np.float32)
        return mapped


def pca_whitening(features: NDArray[np.float32], count: int) -> LinearMetric:
    """Principal components scaled to (nearly) equal variance; see `SHRINKAGE`."""
    mean, directions, variances = principal_components(features, count)
    scale = 1 / np.sqrt(variances + SHRINKAGE * variances[0])
    return LinearMetric(mean.astype(np.float32), (directions * scale).astype(np.float32))
