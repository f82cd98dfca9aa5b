"""What views of one approach are compared by: their detail, whatever the light.

Differences to the surroundings, in units of how strong they usually are there, stay the same when
gain, exposure or colour balance change; where there is nothing but noise they stay small.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

PICTURE_PX = 112
"""Width of a picture."""
DETAIL, STRENGTH = 0.045, 0.07
"""Shares of the width: what is finer than the first counts, in units of its root mean square within
the second."""
NOISE = 3.0
"""Of 255: detail that is weaker is not brought up to the strength of the rest."""


@dataclass(frozen=True)
class EarlierView:
    """A picture seen before, and how far the camera has moved since, optical axes (3,)."""

    picture: NDArray[np.float32]
    moved: NDArray[np.float64]


def picture_size(width_px: int, height_px: int) -> tuple[int, int]:
    """Columns and rows of the picture of an image."""
    return PICTURE_PX, max(1, round(PICTURE_PX * height_px / width_px))


def detail_picture(image_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The picture (rows, columns) of an image (H, W, 3)."""
    size = picture_size(image_rgb.shape[1], image_rgb.shape[0])
    grey = np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY), np.float32)
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    detail = small - cv2.GaussianBlur(small, (0, 0), DETAIL * size[0])
    strength = cv2.GaussianBlur(detail * detail, (0, 0), STRENGTH * size[0])
    picture: NDArray[np.float32] = detail / np.sqrt(strength + NOISE**2)
    return picture
