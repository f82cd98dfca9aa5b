"""A success rate that carries its uncertainty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vinn.evaluation.statistics import wilson_interval


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

    def __str__(self) -> str:
        return f"{self.successes}/{self.trials} [{self.low:.0%}, {self.high:.0%}]"
