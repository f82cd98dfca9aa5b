"""Numbers with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from vinn.errors import ConfigError


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a success rate (Wilson 1927).

    With p = successes / trials, n = trials and z the normal quantile of the confidence:

        (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    Unlike p +- z sqrt(p (1 - p) / n) it stays in 0..1 and keeps a width at 0 and at n successes.

    Returns:
        (low, high), both in 0..1.

    Raises:
        ConfigError: trials < 1, successes not in 0..trials, or confidence not in (0, 1).
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ConfigError(f"{successes} successes of {trials} trials; allowed: 0..trials of >= 1")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence: {confidence}; allowed: 0 < confidence < 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    center = rate + z * z / (2 * trials)
    half = z * sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if successes == 0 else (center - half) / scale
    high = 1.0 if successes == trials else (center + half) / scale
    return low, high


@dataclass(frozen=True)
class Summary:
    """Location and spread of some values.

    Attributes:
        count: number of values.
        mean: arithmetic mean.
        median: 0.5 quantile.
        minimum: smallest value.
        maximum: largest value.
        quantiles: probability to value.
    """

    count: int
    mean: float
    median: float
    minimum: float
    maximum: float
    quantiles: dict[float, float]


def summarise(values: ArrayLike, quantiles: Sequence[float] = (0.05, 0.95, 0.99)) -> Summary:
    """Summarise finite values, (N,) with N >= 1; quantiles are interpolated linearly.

    Raises:
        ConfigError: no values, or one that is not finite.
    """
    data = np.asarray(values, np.float64).ravel()
    if data.size == 0 or not np.isfinite(data).all():
        raise ConfigError(f"summary of {data.size} values: needs at least 1, all of them finite")
    return Summary(
        count=int(data.size),
        mean=float(data.mean()),
        median=float(np.median(data)),
        minimum=float(data.min()),
        maximum=float(data.max()),
        quantiles={q: float(np.quantile(data, q)) for q in quantiles},
    )
