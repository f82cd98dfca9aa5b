"""Feature matches of one rigid scene: the room, not what the hand moves in it.

While the hand pulls a door, the picture holds two rigid bodies, and the door may hold most of the
features (a sign, the handle). Counting matches, any robust estimate then follows the door. Here the
estimate counts the area of the picture instead: a relative pose is fitted to a few matches from
each cell of a grid, and only matches that keep its epipolar constraint stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.ingest.lenses.lens import Lens

GRID = (8, 6)
_PER_CELL = 5
_MIN_MATCHES = 15
_MAX_ERROR_PX = 1.5
_MIN_KEPT_SHARE = 0.5


def grid_cell(pixels: NDArray[np.float64], lens: Lens) -> NDArray[np.int64]:
    """(M,) index of the grid cell of each of (M, 2) pixels."""
    size = np.array([lens.width_px, lens.height_px])
    cell = np.clip((pixels / size * GRID).astype(np.int64), 0, np.array(GRID) - 1)
    return np.asarray(cell[:, 1] * GRID[0] + cell[:, 0])


def keep_widest_motion(
    colmap: Any, database: Path, lens: Lens
) -> dict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Rewrite a database's matches: per image pair, those of the motion seen over most cells.

    Run it between matching and geometric verification.

    Returns:
        The original matches of each pair of image ids, as unit rays, two of (M, 3).
    """
    original: dict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    opened = colmap.Database.open(str(database))
    try:
        images = opened.read_all_images()
        by_name = sorted(images, key=lambda image: str(image.name))
        place = {image.image_id: index for index, image in enumerate(by_name)}
        rays = {
            image.image_id: lens.unproject(
                # COLMAP's pixel centres are at .5.
                np.asarray(opened.read_keypoints(image.image_id), np.float64)[:, :2] - 0.5
            )
            for image in images
        }
        cells = {image_id: grid_cell(lens.project(found), lens) for image_id, found in rays.items()}
        pairs, matches = opened.read_all_matches()
        kept: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.bool_]]] = {}
        for pair_id, found in zip(pairs, matches, strict=True):
            first, second = colmap.pair_id_to_image_pair(pair_id)
            rays_1, rays_2 = rays[first][found[:, 0]], rays[second][found[:, 1]]
            own_cells = cells[first][found[:, 0]]
            keep = _widest(rays_1, rays_2, own_cells, _MAX_ERROR_PX / lens.fx_px)
            kept[first, second] = (np.asarray(found, np.int64), keep)
            original[first, second] = (rays_1, rays_2)
        counts = {key: len(found) for key, found in rays.items()}
        steady = _steady_features(kept, counts, place)
        opened.clear_matches()
        for (first, second), (found, keep) in kept.items():
            both = steady[first][found[:, 0]] & steady[second][found[:, 1]]
            opened.write_matches(first, second, found[keep & both].astype(np.uint32))
    finally:
        opened.close()
    return original


def _steady_features(
    kept: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.bool_]]],
    counts: dict[int, int],
    place: dict[int, int],
) -> dict[int, NDArray[np.bool_]]:
    """Per image, the features of which most matches were kept, each counted as often as its gap.

    Between neighbouring frames a door hardly moves against the room and its matches pass; over
    longer gaps they do not, and that tells on the feature itself. `place` is the frames' order.
    """
    all_matches = {key: np.zeros(count) for key, count in counts.items()}
    good = {key: np.zeros(count) for key, count in counts.items()}
    for pair, (found, keep) in kept.items():
        gap = abs(place[pair[0]] - place[pair[1]])
        for side, image_id in enumerate(pair):
            np.add.at(all_matches[image_id], found[:, side], gap)
            np.add.at(good[image_id], found[keep, side], gap)
    return {key: good[key] >= _MIN_KEPT_SHARE * all_matches[key] for key in counts}


def initial_pair(
    colmap: Any, database: Path, names: Sequence[str], gaps: Sequence[int], lens: Lens
) -> tuple[int, int] | None:
    """The pair of frames from which a reconstruction best begins, as image ids.

    Of the pairs with one of these gaps, the one whose verified matches cover most cells of the
    picture: there a door has moved enough to be told from the room, and the room fills the view.
    None where no such pair has matches.

    Args:
        colmap: the pycolmap module.
        database: with verified matches.
        names: of the frames, in order of time.
        gaps: between frames.
        lens: of the frames.
    """
    best: tuple[tuple[int, int], tuple[int, int]] | None = None
    opened = colmap.Database.open(str(database))
    try:
        ids = [opened.read_image_with_name(name).image_id for name in names]
        for first, second in ((i, i + gap) for gap in gaps for i in range(len(ids) - gap)):
            pair = (ids[first], ids[second])
            matches = np.asarray(opened.read_two_view_geometry(*pair).inlier_matches)
            if not len(matches):
                continue
            pixels = np.asarray(opened.read_keypoints(pair[0]), np.float64)[matches[:, 0], :2]
            score = (len(np.unique(grid_cell(pixels, lens))), len(matches))
            if best is None or score > best[0]:
                best = (score, pair)
    finally:
        opened.close()
    return None if best is None else best[1]


def picture_motion_px(
    rays_1: NDArray[np.float64], rays_2: NDArray[np.float64], lens: Lens
) -> float:
    """How far matches moved in the picture [px]: the median over grid cells of their medians.

    NaN without matches.
    """
    pixels_1 = lens.project(rays_1)
    shift = np.linalg.norm(lens.project(rays_2) - pixels_1, axis=1)
    cells = grid_cell(pixels_1, lens)
    medians = [np.median(shift[cells == cell]) for cell in np.unique(cells)]
    return float(np.median(medians)) if medians else float("nan")


def _widest(
    rays_1: NDArray[np.float64],
    rays_2: NDArray[np.float64],
    cells: NDArray[np.int64],
    max_error_rad: float,
) -> NDArray[np.bool_]:
    """(M,) matches that one relative pose explains, chosen to explain many cells."""
    # The estimator works in an image plane: rays far from the axis have no place in it.
    usable = (rays_1[:, 2] > 0.15) & (rays_2[:, 2] > 0.15)
    chosen = np.flatnonzero(usable)
    order = np.argsort(cells[chosen], kind="stable")
    chosen = chosen[order]
    rank = np.arange(len(chosen)) - np.searchsorted(cells[chosen], cells[chosen], side="left")
    # Matches of a cell come in order of feature size: the ranks spread over it.
    chosen = chosen[rank < _PER_CELL]
    nothing = np.zeros(len(rays_1), np.bool_)
    if len(chosen) < _MIN_MATCHES:
        return nothing
    plane_1 = rays_1[chosen, :2] / rays_1[chosen, 2:]
    plane_2 = rays_2[chosen, :2] / rays_2[chosen, 2:]
    essential, _ = cv2.findEssentialMat(
        plane_1, plane_2, np.eye(3), method=cv2.RANSAC, prob=0.999, threshold=max_error_rad
    )
    if essential is None or essential.shape[0] < 3:
        return nothing
    return epipolar_error(np.asarray(essential[:3], np.float64), rays_1, rays_2) < max_error_rad


def epipolar_error(
    essential: NDArray[np.float64], rays_1: NDArray[np.float64], rays_2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(M,) angle of each match from its epipolar plane [rad], the larger of both directions.

    Args:
        essential: (3, 3), ``ray_2 @ essential @ ray_1 = 0``.
        rays_1: (M, 3) unit rays.
        rays_2: (M, 3) unit rays.
    """
    plane_2 = rays_1 @ essential.T
    plane_1 = rays_2 @ essential
    product = np.abs(np.einsum("ij,ij->i", plane_2, rays_2))
    norms = np.minimum(np.linalg.norm(plane_1, axis=1), np.linalg.norm(plane_2, axis=1))
    return np.asarray(product / np.maximum(norms, 1e-9))
