"""A success rate that carries its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vinn.evaluation.statistics import wilson_interval


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


UNKNOWN = "–"
"""Stands where the attempts of a trial were not counted."""


def said_at_first(outcomes: Iterable[bool | None]) -> str:
    """The same as a part of a sentence, with a comma after it; empty where not known."""
    rate = SuccessRate.at_first(outcomes)
    return "" if rate is None else f"at the first attempt {rate.share}, "


def share_at_first(outcomes: Iterable[bool | None]) -> str:
    """Successes at the first attempt of trials, as a cell of a table; `UNKNOWN` where not known."""
    rate = SuccessRate.at_first(outcomes)
    return UNKNOWN if rate is None else rate.share
