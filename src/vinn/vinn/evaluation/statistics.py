"""Success rates with their uncertainty, and what sets two methods on the same trials apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

import numpy as np

from vinn.errors import ConfigError

UNKNOWN = "–"
"""Stands where the attempts of a trial were not counted."""
RESAMPLES = 10_000
"""Of the bootstrap."""


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


def opened_at_first(opened: bool, attempts: int | None) -> bool | None:
    """Whether a door was opened with one closing at most; None: the closings were not counted."""
    return None if attempts is None else opened and attempts <= 1


@dataclass(frozen=True)
class SuccessRate:
    """Successes of trials with Wilson's 95 % interval."""

    successes: int
    trials: int
    low: float
    high: float

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> SuccessRate:
        """The rate of some outcomes, at least one."""
        values = list(outcomes)
        low, high = wilson_interval(sum(values), len(values))
        return cls(sum(values), len(values), low, high)

    @classmethod
    def at_first(cls, outcomes: Iterable[bool | None]) -> SuccessRate | None:
        """The rate of successes at the first attempt; None where one of them is not known."""
        values = list(outcomes)
        known = [value for value in values if value is not None]
        return cls.of(known) if len(known) == len(values) else None

    def __str__(self) -> str:
        return f"{self.successes}/{self.trials} [{self.low:.0%}, {self.high:.0%}]"

    @property
    def share(self) -> str:
        """Successes of trials, without the interval."""
        return f"{self.successes} / {self.trials}"


def said_at_first(outcomes: Iterable[bool | None]) -> str:
    """The same as a part of a sentence, with a comma after it; empty where not known."""
    rate = SuccessRate.at_first(outcomes)
    return "" if rate is None else f"at the first attempt {rate.share}, "


def share_at_first(outcomes: Iterable[bool | None]) -> str:
    """Successes at the first attempt of trials, as a cell of a table; `UNKNOWN` where not known."""
    rate = SuccessRate.at_first(outcomes)
    return UNKNOWN if rate is None else rate.share


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
