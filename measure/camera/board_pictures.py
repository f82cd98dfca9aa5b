"""Pictures of the calibration board, seen through lenses that are known."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from vinn.ingest.lenses.charuco import CalibrationBoard
from vinn.ingest.lenses.lens import Lens

FISHEYE = Lens(
    model="kb4",
    width_px=640,
    height_px=480,
    fx_px=291.0,
    fy_px=289.0,
    cx_px=326.0,
    cy_px=234.0,
    k=(-0.02, 0.005, -0.003, 0.0005),
)
"""125 degrees across, its axis beside the middle of the picture."""
WEBCAM = Lens(
    model="pinhole",
    width_px=640,
    height_px=480,
    fx_px=512.0,
    fy_px=510.0,
    cx_px=315.0,
    cy_px=246.0,
)
"""64 degrees across."""
_TEXTURE_PX = 96
_MARGIN = 0.5
"""White paper around the board [squares]."""


def picture(
    board: CalibrationBoard,
    lens: Lens,
    camera_R_board: NDArray[np.float64],
    camera_p_board_m: NDArray[np.float64],
    noise: np.random.Generator,
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: the board on a grey wall, with blur and noise of a sensor."""
    texture = np.pad(board.picture(_TEXTURE_PX), round(_MARGIN * _TEXTURE_PX), constant_values=255)
    # Twice as fine, then averaged.
    fine = lens.scaled_to(2 * lens.width_px, 2 * lens.height_px)
    pixels = np.stack(
        np.meshgrid(np.arange(fine.width_px), np.arange(fine.height_px)), axis=-1
    ).astype(np.float64)
    rays = fine.unproject(pixels) @ camera_R_board
    origin = -camera_R_board.T @ camera_p_board_m
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = -origin[2] / rays[..., 2]
    hit = origin[:2] + rays[..., :2] * np.where(reach > 0, reach, np.nan)[..., None]
    # A pixel's centre is at a whole number, a square's edge between two.
    found = (hit / board.square_m + _MARGIN) * _TEXTURE_PX - 0.5
    found = np.nan_to_num(found, nan=-1e4).astype(np.float32)
    seen = cv2.remap(
        texture,
        found[..., 0],
        found[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=120,
    )
    seen = cv2.resize(seen, (lens.width_px, lens.height_px), interpolation=cv2.INTER_AREA)
    seen = cv2.GaussianBlur(seen, (3, 3), 0.6).astype(np.float64)
    seen = 25.0 + 0.8 * seen + noise.normal(0.0, 2.0, seen.shape)
    grey = np.clip(seen, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def pictures(board: CalibrationBoard, lens: Lens, count: int, seed: int) -> list[NDArray[np.uint8]]:
    """The board held near and far, tilted, and into every corner of the picture."""
    rng = np.random.default_rng(seed)
    middle_m = np.array([board.columns, board.rows, 0.0]) * board.square_m / 2
    images = []
    for number in range(count):
        tilt = rng.uniform(-0.6, 0.6, 2)
        turn, _ = cv2.Rodrigues(np.array([tilt[0], tilt[1], rng.uniform(-0.5, 0.5)]))
        # Where the middle of the board is seen: a grid over the picture, in random order.
        cell = np.array([number % 4, (number // 4) % 3]) / np.array([3.0, 2.0])
        pixel = (0.2 + 0.6 * cell) * np.array([lens.width_px, lens.height_px])
        ray = lens.unproject(pixel)
        position = ray * rng.uniform(0.16, 0.34)
        images.append(picture(board, lens, np.asarray(turn), position - turn @ middle_m, rng))
    return images
