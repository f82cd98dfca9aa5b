"""Plots as inline SVG that follow the page's light or dark text colour.

Every function returns one `<svg>` element. Axes, ticks and text are drawn in `currentColor`, so a
plot inside the HTML report reads well in both themes; series keep the colours of `vinn.viz.style`.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vinn.viz import style

_INK = "#010203"  # stands for the page's text colour until the SVG is written
_LINE_STYLES = ("-", "--", ":")
_SERIAL = itertools.count()


@dataclass(frozen=True)
class Bar:
    """One bar of a rate with its interval, all in 0 .. 1, and what is written beside it."""

    label: str
    value: float
    low: float
    high: float
    note: str = ""


def rate_bars(bars: Sequence[Bar], xlabel: str) -> str:
    """Horizontal bars of rates with intervals, first bar on top."""
    figure, axes = _figure(7.0, 0.9 + 0.42 * len(bars))
    rows = np.arange(len(bars))
    values = np.array([bar.value for bar in bars])
    colors = [style.SERIES[i % len(style.SERIES)] for i in range(len(bars))]
    axes.barh(rows, values, color=colors, height=0.62, alpha=0.85)
    errors = np.array([[bar.value - bar.low, bar.high - bar.value] for bar in bars]).T
    axes.errorbar(values, rows, xerr=np.maximum(errors, 0), fmt="none", ecolor=_INK, capsize=3)
    for row, bar in enumerate(bars):
        axes.text(1.02, row, bar.note, va="center", fontsize=9, color=_INK)
    axes.set_yticks(rows, [bar.label for bar in bars])
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{tick:.0%}" for tick in np.linspace(0, 1, 6)])
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    axes.grid(axis="x", alpha=0.25)
    return _svg(figure)


def lines(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    level: tuple[float, str] | None = None,
    max_legend: int = 8,
    logarithmic: bool = False,
) -> str:
    """Lines, one per name of `series` -> (x, y); many lines are thin and have no legend.

    Args:
        series: name -> (x, y), each (N,).
        xlabel: label with unit.
        ylabel: label with unit.
        level: a horizontal line (y, its name).
        max_legend: with more series than this, the legend is left out. Lines past the colours
            repeat them dashed and dotted.
        logarithmic: both axes are, and points are marked.
    """
    few = len(series) <= max_legend
    figure, axes = _figure(8.4 if few else 7.0, 3.2)
    for i, (name, (x, y)) in enumerate(series.items()):
        axes.plot(
            np.asarray(x),
            np.asarray(y),
            color=style.SERIES[i % len(style.SERIES)],
            linestyle=_LINE_STYLES[i // len(style.SERIES) % len(_LINE_STYLES)] if few else "-",
            linewidth=1.8 if few else 1.0,
            alpha=1.0 if few else 0.6,
            label=name if few else None,
            marker="o" if logarithmic else None,
            markersize=4,
        )
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    if level is not None:
        axes.axhline(level[0], color=_INK, linestyle="--", linewidth=1, alpha=0.7)
        axes.annotate(level[1], (1, level[0]), xycoords=("axes fraction", "data"), ha="right",
                      va="bottom", fontsize=9, color=_INK)  # fmt: skip
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.25)
    if few and series:
        # Beside the axes, where no line runs below it.
        figure.legend(loc="outside right upper", frameon=False, labelcolor=_INK, fontsize=9)
    return _svg(figure)


_NAME_HEIGHT = 0.06
"""Of a point's name in `scatter`, as a share of the y axis."""


def scatter(points: Mapping[str, tuple[float, float]], xlabel: str, ylabel: str) -> str:
    """One named point (x, y) each; y is a share in 0 .. 1."""
    figure, axes = _figure(7.0, 3.6)
    for i, (x, y) in enumerate(points.values()):
        axes.plot([x], [y], "o", color=style.SERIES[i % len(style.SERIES)], markersize=7)
    span = max(x for x, _ in points.values()) - min(x for x, _ in points.values())
    placed: list[tuple[float, float]] = []
    for name, (x, y) in sorted(points.items(), key=lambda point: point[1][1]):
        # Names of points close together stand above each other.
        beside = [height for other, height in placed if abs(x - other) <= 0.3 * span]
        height = max([y, *(other + _NAME_HEIGHT for other in beside)])
        placed.append((x, height))
        axes.annotate(name, (x, height), xytext=(6, 5), textcoords="offset points", fontsize=8,
                      color=_INK)  # fmt: skip
    axes.set_ylim(-0.05, 1.05)
    axes.set_yticks(np.linspace(0, 1, 6), [f"{tick:.0%}" for tick in np.linspace(0, 1, 6)])
    axes.margins(x=0.15)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.25)
    return _svg(figure)


def distributions(samples: Mapping[str, ArrayLike], xlabel: str) -> str:
    """Horizontal box plots (median, quartiles, 5 to 95 %) of one sample per name, first on top."""
    figure, axes = _figure(7.0, 0.9 + 0.42 * len(samples))
    boxes = axes.boxplot(
        [np.asarray(values, dtype=np.float64) for values in samples.values()],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        widths=0.6,
        medianprops={"color": _INK, "linewidth": 1.6},
        whiskerprops={"color": _INK},
        capprops={"color": _INK},
        boxprops={"edgecolor": _INK, "linewidth": 0.8},
    )
    for i, patch in enumerate(boxes["boxes"]):
        patch.set_facecolor(style.SERIES[i % len(style.SERIES)])
        patch.set_alpha(0.85)
    axes.set_yticks(range(1, len(samples) + 1), list(samples))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(xlabel)
    axes.grid(axis="x", alpha=0.25)
    return _svg(figure)


def _figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    # Figure itself and not pyplot: no global state, no display, safe beside other threads
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(_INK)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # ids must be unique in the page that holds several plots
    prefix = f"plot{next(_SERIAL)}-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{prefix}", text)
    # the page decides the width; the view box keeps the proportions
    return re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(
        r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1).strip()  # fmt: skip
