"""Which frame answers which sample time, whatever the pace at which frames came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def slot_of(time_s: float, gap_s: float, rate_hz: float) -> int:
    """The latest of the sample times 0, 1 / rate, 2 / rate ... that a frame can answer.

    Time stamps are rounded, so a frame also answers a time that lies after it by less than half the
    way to its nearer neighbour, and by less than half a sample period.

    Args:
        time_s: of the frame, from the first sample time on [s].
        gap_s: to the nearer of the frames before and after it [s].
        rate_hz: of the samples.

    Returns:
        The number of the sample time; negative before the first.
    """
    return int(np.floor((time_s + 0.5 * min(gap_s, 1.0 / rate_hz)) * rate_hz))


def sampled_indices(times_s: Sequence[float], rate_hz: float) -> list[int]:
    """For each sample time the first frame at or after it; none twice.

    Args:
        times_s: increasing, of the frames from the first on [s].
        rate_hz: of the samples.
    """
    gaps_s = np.diff(times_s, prepend=-np.inf, append=np.inf)
    found: list[int] = []
    wanted = 0
    for index, time_s in enumerate(times_s):
        slot = slot_of(time_s, float(min(gaps_s[index], gaps_s[index + 1])), rate_hz)
        if slot >= wanted:
            found.append(index)
            wanted = slot + 1
    return found
