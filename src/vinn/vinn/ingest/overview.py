"""What a dataset holds, beyond counts: near-duplicates and how its starts are covered."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset

_SIDE_PX = 16


@dataclass(frozen=True)
class NearDuplicate:
    """Two demonstrations that start alike: names, and the distance of their first frames."""

    first: str
    second: str
    distance: float


def thumbnail(image_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(768,) the picture at 16x16, its mean taken off, so that light counts less."""
    small = cv2.resize(image_rgb, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    values = small.astype(np.float32) / 255
    return np.asarray((values - values.mean((0, 1))).ravel())


def start_thumbnails(dataset: Dataset) -> NDArray[np.float32]:
    """(N, 768) thumbnails of the first frames."""
    return np.stack([thumbnail(read_frame(d.frame_paths[0])) for d in dataset.demonstrations])


def near_duplicates(
    names: list[str], thumbnails: NDArray[np.float32], max_distance: float = 0.02
) -> list[NearDuplicate]:
    """Pairs whose thumbnails differ by at most `max_distance` (root mean square), closest first.

    Sensor noise alone gives about 0.001, another start pose a few hundredths.
    """
    found = []
    for i in range(len(names)):
        difference = thumbnails[i + 1 :] - thumbnails[i]
        distance = np.sqrt((difference**2).mean(axis=1))
        found += [
            NearDuplicate(names[i], names[i + 1 + int(j)], float(distance[j]))
            for j in np.flatnonzero(distance <= max_distance)
        ]
    return sorted(found, key=lambda pair: pair.distance)


def principal_plane(thumbnails: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 2) the starts along their two directions of greatest variance."""
    centred = (thumbnails - thumbnails.mean(axis=0)).astype(np.float64)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(centred), 2))
    kept = min(2, len(axes))
    plane[:, :kept] = centred @ axes[:kept].T
    return plane
