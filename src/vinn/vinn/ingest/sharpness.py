"""How sharp a frame is: the variance of its Laplacian (Pech-Pacheco et al. 2000)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def sharpness(image_rgb: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None) -> float:
    """Variance of the Laplacian over the pixels outside `mask`, in squared grey levels.

    It depends on the scene, so it only compares frames of one clip.

    Args:
        image_rgb: (H, W, 3) uint8.
        mask: (H, W), True where pixels do not count (the gripper is always sharp).
    """
    grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
    laplacian = cv2.Laplacian(grey, cv2.CV_32F)
    if mask is None:
        return float(laplacian.var())
    # The edge of the mask is an edge of the picture (black border, gripper outline).
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return float(laplacian[~grown].var()) if not grown.all() else 0.0
