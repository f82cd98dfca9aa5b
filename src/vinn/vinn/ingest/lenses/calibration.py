"""A lens from pictures of the calibration board (Zhang 2000; fisheye: Kannala and Brandt 2006)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.errors import DatasetError
from vinn.ingest.lenses.charuco import CalibrationBoard
from vinn.ingest.lenses.lens import Lens

LensModel = Literal["kb4", "pinhole"]
MIN_CORNERS = 8
MIN_VIEWS = 8
_ENOUGH_VIEWS = 60
_CELLS = 6
_OUTLIER = 3.0
_GOOD_PX = 1.0
_TORN = 0.02
"""A view that a smooth map misses by more is none of the board [picture widths]."""
# OpenCV 5 moved the flags of its fisheye module, and gave them other values.
_FISHEYE_FLAGS = sum(
    getattr(cv2.fisheye, name, None) or getattr(cv2, name)
    for name in ("CALIB_RECOMPUTE_EXTRINSIC", "CALIB_FIX_SKEW", "CALIB_USE_INTRINSIC_GUESS")
)
_ITERATIONS = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 200, 1e-9)


@dataclass(frozen=True)
class View:
    """The board in one picture: (M,) corner numbers and (M, 2) their pixels."""

    ids: NDArray[np.int64]
    pixels: NDArray[np.float64]

    @property
    def usable(self) -> bool:
        """Enough corners, not all in one row."""
        return len(self.ids) >= MIN_CORNERS and bool(
            np.linalg.matrix_rank(self.pixels - self.pixels.mean(axis=0), tol=5.0) == 2
        )


@dataclass(frozen=True)
class Calibration:
    """What came out, and how far it can be trusted."""

    lens: Lens
    rms_px: float
    """Root mean square of the reprojection error over all corners that were used."""
    views: int
    coverage: float
    """Part of the picture (in a 6 x 6 grid) in which corners were seen, 0..1."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with it, for people."""
        found = []
        if self.rms_px > 1.0:
            hint = "; a lens that bends lines needs --model kb4" if self.lens.k is None else ""
            found.append(f"reprojection error {self.rms_px:.2f} px is above 1 px{hint}")
        if self.coverage < 0.7:
            found.append(
                f"corners were seen in {self.coverage:.0%} of the picture only: "
                "hold the board into its corners too"
            )
        if self.views < 15:
            found.append(f"{self.views} views are few: 20 or more, tilted differently, are better")
        return tuple(found)


def calibrate(
    views: Sequence[View], board: CalibrationBoard, width_px: int, height_px: int, model: LensModel
) -> Calibration:
    """Fit a lens to views of the board.

    Args:
        views: of pictures of one size; those with too few corners are left out.
        board: what was filmed.
        width_px: of the pictures.
        height_px: of the pictures.
        model: `kb4` (any lens), or `pinhole` (one that keeps straight lines straight).

    Raises:
        DatasetError: too few usable views, or no lens fits them.
    """
    usable = _spread([view for view in views if view.usable and _is_of(board, view, width_px)])
    if len(usable) < MIN_VIEWS:
        raise DatasetError(
            f"{len(usable)} pictures show {MIN_CORNERS} corners of the board or more; "
            f"needed: {MIN_VIEWS}"
        )
    fit = _fit_fisheye if model == "kb4" else _fit_pinhole
    try:
        lens, errors = fit(usable, board, width_px, height_px)
        # A picture taken in motion, or a corner found wrongly, spoils the whole.
        limit = max(0.5, _OUTLIER * float(np.median([_rms(e) for e in errors])))
        kept = [view for view, e in zip(usable, errors, strict=True) if _rms(e) <= limit]
        if MIN_VIEWS <= len(kept) < len(usable):
            usable = kept
            lens, errors = fit(usable, board, width_px, height_px)
    except cv2.error as cause:
        reason = str(cause).strip().splitlines()[-1][:120]
        raise DatasetError(
            f"no {model} lens fits the {len(usable)} views ({reason}): take more, tilted "
            "differently, some of them close"
        ) from cause
    rms_px = _rms(np.concatenate(errors))
    if not (math.isfinite(rms_px) and rms_px < 0.05 * width_px):
        raise DatasetError(f"no {model} lens fits the {len(usable)} views ({rms_px:.1f} px off)")
    return Calibration(lens, rms_px, len(usable), _coverage(usable, width_px, height_px))


def _fit_fisheye(
    views: Sequence[View], board: CalibrationBoard, width_px: int, height_px: int
) -> tuple[Lens, list[NDArray[np.float64]]]:
    corners_m = board.corners_m
    objects = [corners_m[view.ids].reshape(1, -1, 3) for view in views]
    pixels = [view.pixels.reshape(1, -1, 2) for view in views]
    best: tuple[float, Lens, list[NDArray[np.float64]]] | None = None
    # From a narrow and from a wide guess: the optimiser finds the nearest minimum only.
    for field_of_view_deg in (70.0, 110.0, 160.0):
        focal_px = width_px / math.radians(field_of_view_deg)
        matrix = np.array(
            [[focal_px, 0, (width_px - 1) / 2], [0, focal_px, (height_px - 1) / 2], [0, 0, 1]]
        )
        try:
            _, matrix, distortion, turns, shifts = cv2.fisheye.calibrate(
                objects,
                pixels,
                (width_px, height_px),
                matrix,
                np.zeros((4, 1)),
                flags=_FISHEYE_FLAGS,
                criteria=_ITERATIONS,
            )
        except cv2.error:
            if best is None and field_of_view_deg == 160.0:
                raise
            continue
        k = np.ravel(distortion)
        lens = Lens(
            model="kb4",
            width_px=width_px,
            height_px=height_px,
            fx_px=float(matrix[0, 0]),
            fy_px=float(matrix[1, 1]),
            cx_px=float(matrix[0, 2]),
            cy_px=float(matrix[1, 2]),
            k=(float(k[0]), float(k[1]), float(k[2]), float(k[3])),
        )
        errors = _errors(views, corners_m, lens, turns, shifts)
        rms_px = _rms(np.concatenate(errors))
        if math.isfinite(rms_px) and (best is None or rms_px < best[0]):
            best = (rms_px, lens, errors)
        if rms_px < _GOOD_PX:
            break
    if best is None:
        raise DatasetError("no kb4 lens fits the views")
    return best[1], best[2]


def _fit_pinhole(
    views: Sequence[View], board: CalibrationBoard, width_px: int, height_px: int
) -> tuple[Lens, list[NDArray[np.float64]]]:
    corners_m = board.corners_m
    flags = cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST
    _, matrix, _, turns, shifts = cv2.calibrateCamera(
        [corners_m[view.ids].astype(np.float32) for view in views],
        [view.pixels.astype(np.float32) for view in views],
        (width_px, height_px),
        np.eye(3),
        np.zeros(5),
        flags=flags,
        criteria=_ITERATIONS,
    )
    lens = Lens(
        model="pinhole",
        width_px=width_px,
        height_px=height_px,
        fx_px=float(matrix[0, 0]),
        fy_px=float(matrix[1, 1]),
        cx_px=float(matrix[0, 2]),
        cy_px=float(matrix[1, 2]),
    )
    return lens, _errors(views, corners_m, lens, turns, shifts)


def _errors(
    views: Sequence[View],
    corners_m: NDArray[np.float64],
    lens: Lens,
    turns: Sequence[Any],
    shifts: Sequence[Any],
) -> list[NDArray[np.float64]]:
    """(M, 2) reprojection errors of each view [px], by our own lens model."""
    errors = []
    for view, turn, shift in zip(views, turns, shifts, strict=True):
        rotation, _ = cv2.Rodrigues(np.asarray(turn, np.float64).reshape(3))
        seen = corners_m[view.ids] @ rotation.T + np.asarray(shift, np.float64).reshape(3)
        errors.append(lens.project(seen) - view.pixels)
    return errors


def _is_of(board: CalibrationBoard, view: View, width_px: int) -> bool:
    """Whether a smooth map takes the board to the pixels: a wrong number would tear it.

    Of second order, so that the bend of a fisheye passes.
    """
    x, y = (board.corners_m[view.ids, :2] / board.square_m).T
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], axis=1)
    fitted, *_ = np.linalg.lstsq(terms, view.pixels, rcond=None)
    return _rms(terms @ fitted - view.pixels) < _TORN * width_px


def _rms(errors: NDArray[np.float64]) -> float:
    return float(np.sqrt((errors**2).sum(axis=-1).mean()))


def _spread(views: Sequence[View]) -> list[View]:
    """At most `_ENOUGH_VIEWS`, evenly from the whole recording."""
    if len(views) <= _ENOUGH_VIEWS:
        return list(views)
    return [views[i] for i in np.linspace(0, len(views) - 1, _ENOUGH_VIEWS).round().astype(int)]


def _coverage(views: Sequence[View], width_px: int, height_px: int) -> float:
    cells = np.zeros((_CELLS, _CELLS), bool)
    for view in views:
        columns = np.clip(view.pixels[:, 0] / width_px * _CELLS, 0, _CELLS - 1).astype(int)
        rows = np.clip(view.pixels[:, 1] / height_px * _CELLS, 0, _CELLS - 1).astype(int)
        cells[rows, columns] = True
    return float(cells.mean())
