"""Principal components of embeddings and of feature maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError

SMALLEST_VARIANCE = 1e-10
"""Directions of less, as a share of the largest variance, are rounding."""

Float = NDArray[np.float64]


def principal_components(samples: NDArray[np.float32], count: int) -> tuple[Float, Float, Float]:
    """The `count` directions of most variance of samples (N, D), or fewer if there are no more.

    Each direction's largest component is positive, so that equal data give equal directions.

    Returns:
        Mean (D,), orthonormal directions (D, M), and the variance along each (M,), largest first.

    Raises:
        ConfigError: `count` is not positive, fewer than 2 samples, or all are equal.
    """
    if count < 1 or len(samples) < 2:
        raise ConfigError(
            f"principal components: {count} of {len(samples)} samples; allowed: 1 or more, of 2 "
            "or more"
        )
    mean = samples.mean(axis=0, dtype=np.float64)
    centred = samples - mean
    if samples.shape[1] <= len(samples):
        variances, directions = np.linalg.eigh(centred.T @ centred / len(samples))
        directions = directions[:, ::-1][:, :count]
        variances = variances[::-1][:count]
    else:  # the same directions by the smaller Gram matrix
        variances, sides = np.linalg.eigh(centred @ centred.T / len(samples))
        variances, sides = variances[::-1][:count], sides[:, ::-1][:, :count]
        directions = centred.T @ sides
        directions /= np.maximum(np.linalg.norm(directions, axis=0), np.finfo(float).tiny)
    kept = variances > SMALLEST_VARIANCE * max(float(variances[0]), np.finfo(float).tiny)
    if not kept.any():
        raise ConfigError("principal components: all samples are equal")
    variances, directions = variances[kept], directions[:, kept]
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(len(largest))])
    return mean, directions * signs, variances
