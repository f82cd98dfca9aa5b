"""Timing functions against one another, in turns, so that a busy moment hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of each repeat of a function."""

    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The median."""
        return float(np.median(self.seconds))

    @property
    def median_ms(self) -> float:
        """The median [ms]."""
        return 1e3 * self.median_s


def in_turns(
    functions: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[str, Timing]:
    """Call each function `repeats` times, one after the other, over and over.

    Args:
        functions: by name.
        repeats: calls of each that count.
        warm_up: calls of each that do not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(-warm_up, repeats):
        for name, function in functions.items():
            started_s = time.perf_counter()
            function()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - started_s)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def in_turns_per_query(
    functions: Mapping[str, Callable[[int], object]], queries: int, repeats: int
) -> dict[str, Timing]:
    """The same with a query's number as argument; a repeat is the mean over all queries."""

    def over_all(function: Callable[[int], object]) -> Callable[[], object]:
        def call() -> None:
            for query in range(queries):
                function(query)

        return call

    timings = in_turns({name: over_all(f) for name, f in functions.items()}, repeats)
    return {
        name: Timing(tuple(s / queries for s in timing.seconds)) for name, timing in timings.items()
    }
