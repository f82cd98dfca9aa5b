"""The picture that explains a prediction: the query, its neighbours, and what each of them says."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.errors import ImageError
from vinn.policies.types import Neighbor, Prediction
from vinn.viz import style
from vinn.viz.arrow import draw_action
from vinn.viz.grasp import Box, draw_grasp_point, format_grasp_point
from vinn.viz.text import TextLayer, shorten

MOSAIC_HEIGHT_PX = 480
MOSAIC_WIDTH_PX = 1008
MAX_NEIGHBORS = 20
"""Neighbours beyond the nearest 20 are counted, not drawn: they would be too small to see."""

_MARGIN = 12
_QUERY_SIZE = 376
_CAPTION = 34
_GRIPPER_NAMES = ("open", "almost open", "almost closed", "closed")

Thumbnail = Callable[[int], NDArray[np.uint8]]
"""Row of the policy artefact -> (H, W, 3) uint8 RGB."""


def neighbor_mosaic(
    query_rgb: NDArray[np.uint8], prediction: Prediction, thumbnail: Thumbnail
) -> NDArray[np.uint8]:
    """Draw the query with the predicted action, and every neighbour with its own.

    Args:
        query_rgb: (H, W, 3) uint8, the image the prediction was made from.
        prediction: of any policy; without neighbours the right side says so.
        thumbnail: gives the picture of a neighbour by its `index`.

    Returns:
        (480, 1008, 3) uint8 RGB, the same size for every prediction.

    Raises:
        ImageError: the query or a thumbnail is not (H, W, 3) uint8.
    """
    canvas = np.empty((MOSAIC_HEIGHT_PX, MOSAIC_WIDTH_PX, 3), np.uint8)
    canvas[:] = style.CANVAS
    text = TextLayer()
    _draw_query(canvas, text, query_rgb, prediction)
    left = _QUERY_SIZE + 2 * _MARGIN
    if prediction.neighbors:
        _draw_neighbors(canvas, text, prediction, thumbnail, left)
    else:
        middle = ((left + MOSAIC_WIDTH_PX) // 2, MOSAIC_HEIGHT_PX // 2)
        text.add("this policy has no neighbours", middle, 16, style.MUTED, "center")
    return text.draw(canvas)


def fit_image(image_rgb: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Scale an image into a box, keeping its shape; the rest of the box is canvas colour.

    Raises:
        ImageError: not (H, W, 3) uint8.
    """
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
        raise ImageError(
            f"image to draw is {image_rgb.shape} {image_rgb.dtype}, must be (H, W, 3) uint8"
        )
    if image_rgb.size == 0:
        raise ImageError(f"image to draw is empty: {image_rgb.shape}")
    if image_rgb.shape[:2] == (height_px, width_px):
        return image_rgb.copy()
    left, top, width, height = fitted_box(image_rgb.shape[:2], height_px, width_px)
    method = cv2.INTER_AREA if height < image_rgb.shape[0] else cv2.INTER_CUBIC
    box = np.empty((height_px, width_px, 3), np.uint8)
    box[:] = style.CANVAS
    box[top : top + height, left : left + width] = cv2.resize(
        image_rgb, (width, height), interpolation=method
    )
    return box


def fitted_box(shape_px: tuple[int, ...], height_px: int, width_px: int) -> Box:
    """Where `fit_image` puts an image of a shape (H, W) in a box."""
    scale = min(height_px / shape_px[0], width_px / shape_px[1])
    height, width = max(1, round(shape_px[0] * scale)), max(1, round(shape_px[1] * scale))
    return (width_px - width) // 2, (height_px - height) // 2, width, height


def grid_shape(count: int, height_px: int, width_px: int, caption_px: int) -> tuple[int, int]:
    """Columns and side [px] of the largest square tiles of which `count` fit, each with a caption.

    Returns:
        (columns, side); the side does not include the caption below a tile.
    """
    best = (1, 0)
    for columns in range(1, count + 1):
        rows = math.ceil(count / columns)
        side = min(width_px // columns, height_px // rows - caption_px)
        if side > best[1]:
            best = (columns, side)
    return best


def _draw_query(
    canvas: NDArray[np.uint8],
    text: TextLayer,
    query_rgb: NDArray[np.uint8],
    prediction: Prediction,
) -> None:
    box = fit_image(query_rgb, _QUERY_SIZE, _QUERY_SIZE)
    draw_action(box, prediction.camera_delta, prediction.action_scale)
    point = prediction.grasp_point
    if point is not None:
        place = fitted_box(query_rgb.shape[:2], _QUERY_SIZE, _QUERY_SIZE)
        inside = draw_grasp_point(box, point, place)
    canvas[_MARGIN : _MARGIN + _QUERY_SIZE, _MARGIN : _MARGIN + _QUERY_SIZE] = box

    right = _MARGIN + _QUERY_SIZE
    line = _MARGIN + _QUERY_SIZE + 22
    text.add(format_delta(prediction.camera_delta, prediction.action_scale), (_MARGIN, line), 14)
    if math.isfinite(prediction.novelty):
        color = style.FORWARD if prediction.novelty > 1 else style.MUTED
        text.add(f"novelty {prediction.novelty:.2f}", (right, line), 13, color, "right")

    top = line + 10
    _draw_gauge(canvas, _MARGIN, top, _QUERY_SIZE, prediction.gripper_value / 3.0, style.GRIPPER)
    nearest = int(np.clip(round(prediction.gripper_value), 0, 3))
    label = f"gripper {prediction.gripper_value:.2f}  {_GRIPPER_NAMES[nearest]}"
    text.add(label, (_MARGIN, top + 26), 14)
    text.add("0 open … 3 closed", (right, top + 26), 12, style.MUTED, "right")
    if point is None:
        legend = "arrow: motion in the image    bar: forward (up), back (down)"
        text.add(legend, (_MARGIN, top + 46), 11, style.MUTED)
    else:
        where = format_grasp_point(point, prediction.action_scale)
        said = f"grasp {where}" + ("" if inside else "  (outside)")
        text.add(said, (_MARGIN, top + 46), 12, style.GRASP)


def _draw_neighbors(
    canvas: NDArray[np.uint8],
    text: TextLayer,
    prediction: Prediction,
    thumbnail: Thumbnail,
    left: int,
) -> None:
    shown = prediction.neighbors[:MAX_NEIGHBORS]
    hidden = len(prediction.neighbors) - len(shown)
    header = f"{len(prediction.neighbors)} nearest demonstration frames"
    if hidden:
        header += f", {len(shown)} shown"
    text.add(header, (left, _MARGIN + 12), 13, style.MUTED)

    top = _MARGIN + 22
    height = MOSAIC_HEIGHT_PX - top - 4
    width = MOSAIC_WIDTH_PX - left - _MARGIN + 8
    columns, cell = grid_shape(len(shown), height, width, _CAPTION)
    side = min(cell, _QUERY_SIZE) - 8
    heaviest = max(neighbor.weight for neighbor in shown)
    for place, neighbor in enumerate(shown):
        x = left + (place % columns) * (side + 8)
        y = top + (place // columns) * (side + 8 + _CAPTION)
        tile = fit_image(thumbnail(neighbor.index), side, side)
        draw_action(tile, neighbor.camera_delta, prediction.action_scale)
        canvas[y : y + side, x : x + side] = tile
        share = neighbor.weight / heaviest if heaviest > 0 else 0.0
        _draw_gauge(canvas, x, y + side + 2, side, share, style.WEIGHT, height=3)
        _caption(text, neighbor, x, y + side, side)


def _caption(text: TextLayer, neighbor: Neighbor, x: int, y: int, side: int) -> None:
    text.add(f"{100 * neighbor.weight:.0f}%", (x, y + 18), 11)
    digits = 1 if neighbor.distance >= 1 else 3
    text.add(f"d {neighbor.distance:.{digits}f}", (x + side, y + 18), 11, style.TEXT, "right")
    source = f"{neighbor.demonstration}:{neighbor.frame}"
    grip = f"g{neighbor.gripper_state}"
    text.add(shorten(source, side - 20, 10), (x, y + 31), 10, style.MUTED)
    text.add(grip, (x + side, y + 31), 10, style.GRIPPER, "right")


def _draw_gauge(
    canvas: NDArray[np.uint8],
    x: int,
    y: int,
    width: int,
    fraction: float,
    color: style.RGB,
    height: int = 6,
) -> None:
    canvas[y : y + height, x : x + width] = style.PANEL
    filled = round(width * min(max(fraction, 0.0), 1.0)) if math.isfinite(fraction) else 0
    canvas[y : y + height, x : x + filled] = color


def format_delta(camera_delta: NDArray[np.floating], action_scale: ActionScale) -> str:
    """A translation in words, e.g. `x +1.2  y -0.4  z +3.0 cm`."""
    metric = action_scale is ActionScale.METRIC
    values = np.asarray(camera_delta, dtype=np.float64) * (100.0 if metric else 1.0)
    digits = 1 if metric else 2
    parts = [f"{axis} {value:+.{digits}f}" for axis, value in zip("xyz", values, strict=True)]
    return "  ".join(parts) + (" cm" if metric else "")
