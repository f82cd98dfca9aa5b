"""The simulated camera's sensor: exposure, white balance and noise, all from the seed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.sim.difficulty import Difficulty

_SPAN = 97
"""The noise of a frame is a window of one larger field; there are _SPAN^2 different windows."""


class CameraSensor:
    """Turns rendered frames of one size into what a camera gives.

    Args:
        width_px: of the frames.
        height_px: of the frames.
        difficulty: how far exposure and white balance are off, and how strong the noise is.
    """

    def __init__(self, width_px: int, height_px: int, difficulty: Difficulty) -> None:
        self._size = (height_px, width_px)
        self._difficulty = difficulty
        field = np.random.default_rng(0x2015E).standard_normal(
            (height_px + _SPAN, width_px + _SPAN, 3), dtype=np.float32
        )
        self._field = np.rint(difficulty.pixel_noise * field).astype(np.int16)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Set exposure and white balance and start the sequence of windows of `seed`."""
        self._windows = np.random.default_rng([seed, 0x2015E]).permutation(_SPAN * _SPAN)
        self._frame = 0
        rng = np.random.default_rng([seed, 0xE4905])
        stops = self._difficulty.exposure_stops * rng.uniform(-1.0, 1.0)
        red, blue = 1.0 + self._difficulty.white_balance * rng.uniform(-1.0, 1.0, 2)
        gains = 2.0**stops * np.array([red, 1.0, blue])
        levels = np.arange(256)[:, None] * gains
        self._levels = np.clip(np.rint(levels), 0, 255).astype(np.uint8).reshape(1, 256, 3)
        self._neutral = bool(np.all(gains == 1.0))

    def expose(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The rendered image, (H, W, 3) uint8, as the sensor sees it in its next frame."""
        if not self._neutral:
            image_rgb = np.asarray(cv2.LUT(image_rgb, self._levels), np.uint8)
        height, width = self._size
        top, left = divmod(int(self._windows[self._frame % len(self._windows)]), _SPAN)
        self._frame += 1
        noise = self._field[top : top + height, left : left + width]
        noisy: NDArray[np.uint8] = cv2.add(image_rgb, noise, dtype=cv2.CV_8U)  # type: ignore[assignment]
        return noisy
