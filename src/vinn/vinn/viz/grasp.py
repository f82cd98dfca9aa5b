"""Where a policy believes the gripper will close: a cross in the image, and one deviation."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.policies.types import GraspPoint
from vinn.viz import style

Box = tuple[int, int, int, int]
"""Left, top, width and height of a picture in a larger one [px]."""

_ARM = 0.045
"""Half the cross, of the picture's shorter side."""
_SUBPIXEL_BITS = 4


def draw_grasp_point(
    canvas_rgb: NDArray[np.uint8], point: GraspPoint, box: Box, color: style.RGB = style.GRASP
) -> bool:
    """Draw a cross at `image_uv` and an ellipse of one standard deviation, in place.

    Args:
        canvas_rgb: (H, W, 3) uint8, contiguous; changed.
        point: what to draw.
        box: where in the canvas the whole image is.
        color: of the cross.

    Returns:
        Whether the point is in the image; nothing is drawn where it is not.
    """
    left, top, width, height = box
    u, v = (float(value) for value in point.image_uv)
    if not (0 <= u <= 1 and 0 <= v <= 1):  # NaN is outside as well
        return False
    center = (left + u * width, top + v * height)
    side = min(width, height)
    thin = max(2, round(side / 180))
    axes = np.nan_to_num(point.image_std * [width, height])
    for shade, thickness in ((style.OUTLINE, thin + 2), (color, thin)):
        if (axes > 0).all():
            # An uncertain point may reach far beyond the picture.
            reach = np.minimum(axes, 4 * side)
            cv2.ellipse(
                canvas_rgb, _fixed(center), _fixed(reach), 0, 0, 360, shade,
                thickness, cv2.LINE_AA, _SUBPIXEL_BITS,
            )  # fmt: skip
        arm = max(3.0, _ARM * side)
        for x, y in ((arm, 0.0), (0.0, arm)):
            start, end = (center[0] - x, center[1] - y), (center[0] + x, center[1] + y)
            cv2.line(
                canvas_rgb, _fixed(start), _fixed(end), shade, thickness, cv2.LINE_AA,
                _SUBPIXEL_BITS,
            )  # fmt: skip
    return True


def format_grasp_point(point: GraspPoint, action_scale: ActionScale) -> str:
    """The point in words, e.g. `x +1.2 ±0.4  y -0.4 ±0.5  z +12.0 ±2.1 cm`."""
    metric = action_scale is ActionScale.METRIC
    factor, digits = (100.0, 1) if metric else (1.0, 2)
    parts = [
        f"{axis} {factor * value:+.{digits}f} ±{factor * std:.{digits}f}"
        for axis, value, std in zip("xyz", point.camera_delta, point.std, strict=True)
    ]
    return "  ".join(parts) + (" cm" if metric else "")


def _fixed(values: tuple[float, float] | NDArray[np.float64]) -> tuple[int, int]:
    """Pixels with the fraction that OpenCV draws in."""
    return round(float(values[0]) * 2**_SUBPIXEL_BITS), round(float(values[1]) * 2**_SUBPIXEL_BITS)
