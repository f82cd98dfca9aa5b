"""A camera-frame translation drawn over the image it was predicted from.

The image plane carries x (right) and y (down) as an arrow from the image's centre. Forward (z) has
no direction in the image, so it is the arrow's colour and a bar at the right edge: up and orange is
away from the camera, down and blue is towards it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vinn.demos.types import ActionScale
from vinn.viz import style

FULL_SCALE = {ActionScale.METRIC: 0.035, ActionScale.UNIT: 1.0}
"""Translation that fills the drawing: a long demonstrated step [m], or a unit vector."""

_REACH = 0.42  # of the shorter image side, for a translation of full scale
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class ArrowGeometry:
    """Where an action is drawn, in pixels of a (height, width) image.

    Attributes:
        start_px: (x, y) of the tail, the image's centre.
        tip_px: (x, y) of the tip; equal to `start_px` for a step without image-plane motion.
        forward_fraction: z over full scale, clamped to -1 .. 1.
    """

    start_px: tuple[float, float]
    tip_px: tuple[float, float]
    forward_fraction: float

    @property
    def length_px(self) -> float:
        """Length of the arrow."""
        return float(np.hypot(self.tip_px[0] - self.start_px[0], self.tip_px[1] - self.start_px[1]))

    @property
    def color(self) -> style.RGB:
        """White in the image plane, towards orange forward and towards blue backward."""
        end = style.FORWARD if self.forward_fraction >= 0 else style.BACKWARD
        return style.mix(style.SIDEWAYS, end, abs(self.forward_fraction) * 1.5)


def arrow_geometry(
    camera_delta: ArrayLike, action_scale: ActionScale, height_px: int, width_px: int
) -> ArrowGeometry:
    """Place the arrow of a translation in an image.

    Args:
        camera_delta: (3,) x right, y down, z forward, in `action_scale`.
        action_scale: decides which translation counts as full scale.
        height_px: image height.
        width_px: image width.

    Returns:
        The geometry; a translation beyond full scale is shortened, keeping its direction.
    """
    delta = np.asarray(camera_delta, dtype=np.float64).reshape(3) / FULL_SCALE[action_scale]
    sideways = delta[:2] / max(1.0, float(np.linalg.norm(delta[:2])))
    start = np.array([width_px / 2.0, height_px / 2.0])
    tip = start + sideways * _REACH * min(height_px, width_px)
    return ArrowGeometry(
        (float(start[0]), float(start[1])),
        (float(tip[0]), float(tip[1])),
        float(np.clip(delta[2], -1.0, 1.0)),
    )


def draw_action(
    image_rgb: NDArray[np.uint8], camera_delta: ArrayLike, action_scale: ActionScale
) -> None:
    """Draw a translation over an image, in place.

    Args:
        image_rgb: (H, W, 3) uint8, contiguous; changed.
        camera_delta: (3,) in `action_scale`.
        action_scale: unit of `camera_delta`.
    """
    height, width = image_rgb.shape[:2]
    geometry = arrow_geometry(camera_delta, action_scale, height, width)
    side = min(height, width)
    shaft = max(1.2, side / 90.0)
    if geometry.length_px < 2.0 * shaft:
        _draw_ring(image_rgb, geometry, radius=2.2 * shaft, thickness=shaft)
    else:
        _draw_arrow(image_rgb, geometry, shaft, side)
    _draw_forward_bar(image_rgb, geometry)


def _draw_arrow(
    image: NDArray[np.uint8], geometry: ArrowGeometry, shaft: float, side_px: int
) -> None:
    start, tip = np.array(geometry.start_px), np.array(geometry.tip_px)
    along = (tip - start) / geometry.length_px
    across = np.array([-along[1], along[0]])
    # A short arrow is a smaller arrow, not a lone head.
    shaft *= min(1.0, geometry.length_px / (9.0 * shaft))
    head = 5.0 * shaft
    neck = tip - along * head
    outline = np.array(
        [
            start + across * shaft,
            neck + across * shaft,
            neck + across * 2.8 * shaft,
            tip,
            neck - across * 2.8 * shaft,
            neck - across * shaft,
            start - across * shaft,
        ]
    )
    points = np.round(outline * 2**_SUBPIXEL_BITS).astype(np.int32)[None]
    edge = max(2, round(side_px / 75.0))
    cv2.polylines(image, points, True, style.OUTLINE, edge, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.fillPoly(image, points, geometry.color, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_ring(
    image: NDArray[np.uint8], geometry: ArrowGeometry, radius: float, thickness: float
) -> None:
    """A step without image-plane motion: a ring, coloured by the forward part."""
    center = (round(geometry.start_px[0]), round(geometry.start_px[1]))
    width = max(1, round(thickness))
    cv2.circle(image, center, round(radius), style.OUTLINE, width + 2, cv2.LINE_AA)
    cv2.circle(image, center, round(radius), geometry.color, width, cv2.LINE_AA)


def _draw_forward_bar(image: NDArray[np.uint8], geometry: ArrowGeometry) -> None:
    height, width = image.shape[:2]
    bar_width = max(3, round(min(height, width) / 40))
    right = width - max(3, bar_width)
    left = right - bar_width
    middle, half = height // 2, round(height * _REACH)
    cv2.rectangle(
        image, (left - 1, middle - half - 1), (right + 1, middle + half + 1), style.OUTLINE, -1
    )
    cv2.rectangle(image, (left, middle - half), (right, middle + half), style.PANEL, -1)
    end = middle - round(geometry.forward_fraction * half)
    color = style.FORWARD if geometry.forward_fraction >= 0 else style.BACKWARD
    cv2.rectangle(image, (left, min(middle, end)), (right, max(middle, end)), color, -1)
    cv2.line(image, (left - 2, middle), (right + 2, middle), style.TEXT, 1)
