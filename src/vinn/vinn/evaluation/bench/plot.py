"""Cost of a query against number of frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vinn.evaluation.bench.search import ApproximateCost, SearchCost
from vinn.viz import plots


def cost_plot(exact: Sequence[SearchCost], approximate: Sequence[ApproximateCost]) -> str:
    """An SVG, logarithmic in both axes [ms against frames]."""
    sizes = [cost.count for cost in exact]
    series = {
        "the formula in numpy": (sizes, [cost.formula_ms for cost in exact]),
        "FAISS flat": (sizes, [cost.flat_ms for cost in exact]),
        "ours, exact": (sizes, [cost.projected_ms for cost in exact]),
    }
    if approximate:
        series["ours, approximate"] = (
            [cost.count for cost in approximate],
            [cost.query_ms for cost in approximate],
        )
    finite = {
        name: (np.array(x)[np.isfinite(y)], np.array(y)[np.isfinite(y)])
        for name, (x, y) in series.items()
    }
    return plots.lines(finite, "demonstration frames", "a query, one thread [ms]", logarithmic=True)
