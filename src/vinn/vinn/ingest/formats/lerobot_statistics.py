"""The statistics that LeRobot keeps of every feature, per episode and over all.

LeRobot joins them when a dataset grows and reads the names off the first episode, so all episodes
have to have the same ones: `q01` to `q99` among them (lerobot 0.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import read_frame
from vinn.ingest.formats import lerobot_layout as layout

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)


def statistics(
    columns: Mapping[str, NDArray[Any]], levels: NDArray[np.int64], frames: int
) -> dict[str, Any]:
    """Feature -> minimum, maximum, mean, standard deviation, count and quantiles.

    Args:
        columns: feature -> (T,) or (T, D) values.
        levels: (256, 3) how many of the frames' pixels have each level, per channel.
        frames: T.

    Returns:
        Lists of D numbers; for the camera (3, 1, 1) in 0..1.
    """
    found: dict[str, Any] = {}
    for name, values in columns.items():
        rows = values.reshape(len(values), -1).astype(np.float64)
        found[name] = {
            "min": rows.min(0).tolist(),
            "max": rows.max(0).tolist(),
            "mean": rows.mean(0).tolist(),
            "std": rows.std(0).tolist(),
            "count": [len(rows)],
        } | {_name(q): np.quantile(rows, q, axis=0).tolist() for q in QUANTILES}
    found[layout.CAMERA_KEY] = {
        kind: [[[float(value)]] for value in values] for kind, values in _of_levels(levels).items()
    } | {"count": [frames]}
    return found


def pixel_levels(frames: Iterable[Path]) -> NDArray[np.int64]:
    """(256, 3): how many pixels of the frames have each level, per channel."""
    levels = np.zeros((256, 3), np.int64)
    for path in frames:
        image = read_frame(path)
        for channel in range(3):
            levels[:, channel] += np.bincount(image[..., channel].ravel(), minlength=256)
    return levels


def _of_levels(levels: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """(3,) of each kind, in 0..1."""
    value = np.arange(256)[:, None] / 255
    share = levels / levels.sum(0)
    mean = (value * share).sum(0)
    seen = levels > 0
    below = np.cumsum(share, axis=0)
    return {
        "min": value[seen.argmax(0), 0],
        "max": value[255 - seen[::-1].argmax(0), 0],
        "mean": mean,
        "std": np.sqrt((share * (value - mean) ** 2).sum(0)),
    } | {_name(q): value[(below >= q - 1e-12).argmax(0), 0] for q in QUANTILES}


def _name(quantile: float) -> str:
    return f"q{round(100 * quantile):02d}"
