"""Comparing two methods that did the same trials: same scene, same seed, one outcome each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from vinn.errors import ConfigError

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairedDifference:
    """How much more often the first method succeeds.

    Attributes:
        trials: pairs.
        only_first: trials in which only the first succeeded.
        only_second: trials in which only the second succeeded.
        difference: of the rates, first minus second, in -1..1.
        low: lower end of the bootstrap's interval.
        high: upper end.
        p_value: of McNemar's exact test, two-sided.
    """

    trials: int
    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p_value: float

    def __str__(self) -> str:
        return f"{self.difference:+.0%} [{self.low:+.0%}, {self.high:+.0%}], p = {self.p_value:.2g}"


def paired_difference(
    first: Sequence[bool], second: Sequence[bool], confidence: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Difference of two success rates over the same trials, in the same order.

    The interval is the percentile bootstrap's over whole trials, so that what two methods share in
    a trial (its start, its light) cancels.

    Raises:
        ConfigError: no trials, or not the same number, or confidence not in (0, 1).
    """
    if len(first) != len(second) or not first:
        raise ConfigError(f"paired: {len(first)} and {len(second)} trials; allowed: equal, >= 1")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence: {confidence}; allowed: 0 < confidence < 1")
    a, b = np.asarray(first, np.int64), np.asarray(second, np.int64)
    differences = a - b
    only_first, only_second = int((differences > 0).sum()), int((differences < 0).sum())
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(differences), size=(RESAMPLES, len(differences)))
    tail = 0.5 * (1.0 - confidence)
    low, high = np.quantile(differences[rows].mean(axis=1), [tail, 1.0 - tail])
    return PairedDifference(
        trials=len(differences),
        only_first=only_first,
        only_second=only_second,
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        p_value=mcnemar_exact(only_first, only_second),
    )


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value that trials which only one of two methods won are a fair coin's.

    McNemar's test with the exact binomial distribution: nothing is approximated for few trials.

    Raises:
        ConfigError: a count is negative.
    """
    if min(only_first, only_second) < 0:
        raise ConfigError(f"mcnemar: counts {only_first} and {only_second}; allowed: 0 or more")
    discordant = only_first + only_second
    tail = sum(comb(discordant, i) for i in range(min(only_first, only_second) + 1))
    return min(1.0, 2.0 * tail / 2**discordant)
