"""Sensor noise of the simulated camera: seeded, cheap, and different in every frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SPAN = 97
"""The noise of a frame is a window of one larger field; there are _SPAN^2 different windows."""


class SensorNoise:
    """Adds Gaussian noise to frames of one size.

    Args:
        width_px: of the frames.
        height_px: of the frames.
        deviation: standard deviation, of 255.
    """

    def __init__(self, width_px: int, height_px: int, deviation: float) -> None:
        self._size = (height_px, width_px)
        field = np.random.default_rng(0x2015E).standard_normal(
            (height_px + _SPAN, width_px + _SPAN, 3), dtype=np.float32
        )
        self._field = np.rint(deviation * field).astype(np.int16)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start the sequence of windows that belongs to `seed`."""
        self._windows = np.random.default_rng([seed, 0x2015E]).permutation(_SPAN * _SPAN)
        self._frame = 0

    def add(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image, (H, W, 3) uint8, with the noise of the next window."""
        height, width = self._size
        top, left = divmod(int(self._windows[self._frame % len(self._windows)]), _SPAN)
        self._frame += 1
        noise = self._field[top : top + height, left : left + width]
        noisy: NDArray[np.uint8] = cv2.add(image_rgb, noise, dtype=cv2.CV_8U)  # type: ignore[assignment]
        return noisy
