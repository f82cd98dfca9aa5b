"""Numbers with their uncertainty."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

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
