"""Cost of a query against number of frames."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from vinn.evaluation.results import Row
from vinn.viz import plots

_SEARCHES = {
    "frames: the formula in numpy": "the formula in numpy",
    "frames: FAISS flat": "FAISS flat",
    "frames: ours, exact": "ours, exact",
    "frames approximately: query": "ours, approximate",
}
"""Ends of the names of rows, and what the plot calls them."""
_ROW = re.compile(rf"retrieve ([\d,]+) (?:real|augmented) ({'|'.join(_SEARCHES)})")


def query_costs(rows: Iterable[Row]) -> dict[str, list[tuple[int, float]]]:
    """(frames, milliseconds) of each search that the figures name, ascending."""
    costs: dict[str, list[tuple[int, float]]] = {name: [] for name in _SEARCHES.values()}
    for row in rows:
        match = _ROW.fullmatch(row.name)
        if match and isinstance(row.value, int | float) and np.isfinite(row.value):
            count = int(match.group(1).replace(",", ""))
            costs[_SEARCHES[match.group(2)]].append((count, float(row.value)))
    return {name: sorted(points) for name, points in costs.items() if points}


def cost_plot(rows: Iterable[Row]) -> str:
    """An SVG, logarithmic in both axes [ms against frames]."""
    series = {name: tuple(np.array(points).T) for name, points in query_costs(rows).items()}
    return plots.lines(series, "demonstration frames", "a query, one thread [ms]", logarithmic=True)
