"""Warping a lens's frames to another lens, mostly a fisheye's to a pinhole's ("linear" frames)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ImageError
from vinn.ingest.lenses.lens import Lens


class Linearizer:
    """Resamples frames of `source` as `target` would have seen them from the same place.

    Where the target sees past the source's frame, pixels are black; `visible` tells which.
    """

    def __init__(self, source: Lens, target: Lens) -> None:
        self.source = source
        self.target = target
        pixels = np.stack(
            np.meshgrid(np.arange(target.width_px), np.arange(target.height_px)), axis=-1
        ).astype(np.float64)
        found = source.project(target.unproject(pixels)).astype(np.float32)
        self._map_x, self._map_y = np.ascontiguousarray(found[..., 0]), found[..., 1].copy()
        self.visible: NDArray[np.bool_] = (
            (found[..., 0] >= 0)
            & (found[..., 0] <= source.width_px - 1)
            & (found[..., 1] >= 0)
            & (found[..., 1] <= source.height_px - 1)
        )

    def __call__(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(source height, source width, 3) uint8 to (target height, target width, 3) uint8.

        Raises:
            ImageError: the image is not of the source's size.
        """
        if image_rgb.shape[:2] != (self.source.height_px, self.source.width_px):
            raise ImageError(
                f"frame is {image_rgb.shape[1]}x{image_rgb.shape[0]}, the camera profile is for "
                f"{self.source.width_px}x{self.source.height_px}"
            )
        return np.asarray(
            cv2.remap(image_rgb, self._map_x, self._map_y, cv2.INTER_LINEAR), dtype=np.uint8
        )
