"""The calibration board: a chessboard with ArUco markers in its white squares, so that a part of it
is enough, and found corners say which they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vinn.errors import ConfigError

_DICTIONARY = cv2.aruco.DICT_5X5_50
_AROUND_PX = (3, 3)
_UNTIL = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 40, 0.001)
_LARGEST_CORRECTION_PX = 2.0
_MARKER_SHARE = 0.75
_DPI = 300
_MM_PER_INCH = 25.4
PAGES_MM = {"a4": (297.0, 210.0), "letter": (279.4, 215.9), "a3": (420.0, 297.0)}
"""Landscape."""


@dataclass(frozen=True)
class CalibrationBoard:
    """Squares across and down, and the side of one."""

    columns: int = 9
    rows: int = 6
    square_m: float = 0.028

    def __post_init__(self) -> None:
        if not (min(self.columns, self.rows) >= 3 and self.columns * self.rows <= 100):
            raise ConfigError(
                f"board: {self.columns}x{self.rows} squares; allowed: 3 to 100 squares in all, "
                "3 on a side"
            )
        if not 0.005 <= self.square_m <= 0.2:
            raise ConfigError(f"board: squares of {self.square_m * 1000:g} mm; allowed: 5..200")

    @property
    def corners_m(self) -> NDArray[np.float64]:
        """(N, 3) inner corners by number, in the board's plane [m]."""
        return np.asarray(self._charuco().getChessboardCorners(), np.float64)

    def detect(self, image_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Inner corners in a picture: (M,) their numbers and (M, 2) where they are [px].

        Pixel centres are at whole numbers.
        """
        grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
        corners, ids, _, _ = cv2.aruco.CharucoDetector(self._charuco()).detectBoard(grey)
        if ids is None or corners is None or len(corners) == 0:
            return np.zeros(0, np.int64), np.zeros((0, 2))
        # Before OpenCV 5 the detector's corners lie half a pixel to the right and down.
        rough = np.asarray(corners, np.float32).reshape(-1, 1, 2)
        fine = cv2.cornerSubPix(grey, rough.copy(), _AROUND_PX, (-1, -1), _UNTIL)
        kept = np.linalg.norm(fine - rough, axis=2).ravel() < _LARGEST_CORRECTION_PX
        pixels = np.asarray(fine, np.float64).reshape(-1, 2)
        return ids.ravel().astype(np.int64)[kept], pixels[kept]

    def picture(self, pixels_per_square: int) -> NDArray[np.uint8]:
        """The board alone, (H, W) uint8."""
        size = (self.columns * pixels_per_square, self.rows * pixels_per_square)
        return np.asarray(self._charuco().generateImage(size, marginSize=0), np.uint8)

    def page(self, paper: str) -> Image.Image:
        """A page to print at 100 %, with a ruler to hold another against.

        Raises:
            ConfigError: unknown paper, or the board does not fit on it.
        """
        if paper not in PAGES_MM:
            raise ConfigError(f"--paper {paper!r}; allowed: {', '.join(PAGES_MM)}")
        width_mm, height_mm = PAGES_MM[paper]
        needed = (self.columns * self.square_m * 1000 + 10, self.rows * self.square_m * 1000 + 36)
        if needed[0] > width_mm or needed[1] > height_mm:
            raise ConfigError(
                f"board of {needed[0]:.0f} x {needed[1]:.0f} mm with its margins does not fit on "
                f"{paper} ({width_mm:g} x {height_mm:g} mm): fewer or smaller squares"
            )
        page = np.full((_px(height_mm), _px(width_mm)), 255, np.uint8)
        board = cv2.resize(
            self.picture(64),
            (
                _px(self.columns * self.square_m * 1000),
                _px(self.rows * self.square_m * 1000),
            ),
            interpolation=cv2.INTER_NEAREST,
        )
        left, top = (page.shape[1] - board.shape[1]) // 2, _px(12.0)
        page[top : top + board.shape[0], left : left + board.shape[1]] = board
        _ruler(page, left, top + board.shape[0] + _px(8.0))
        text = (
            f"{self.columns} x {self.rows} squares of {self.square_m * 1000:g} mm, DICT_5X5_50. "
            "Print at 100 %; the bar is 100 mm long. Glue it to something flat."
        )
        origin = (left, top + board.shape[0] + _px(17.0))
        cv2.putText(page, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 1.25, 0, 3, cv2.LINE_AA)
        return Image.fromarray(page)

    def _charuco(self) -> cv2.aruco.CharucoBoard:
        return cv2.aruco.CharucoBoard(
            (self.columns, self.rows),
            self.square_m,
            _MARKER_SHARE * self.square_m,
            cv2.aruco.getPredefinedDictionary(_DICTIONARY),
        )


PAGE_DPI = float(_DPI)


def _px(mm: float) -> int:
    return round(mm / _MM_PER_INCH * _DPI)


def _ruler(page: NDArray[np.uint8], left: int, top: int) -> None:
    """A bar of 100 mm with ticks each centimetre."""
    page[top : top + 6, left : left + _px(100.0)] = 0
    for centimetre in range(11):
        x = left + _px(10.0 * centimetre)
        page[top - _px(2.0) : top + 6, max(left, x - 3) : x + 3] = 0
