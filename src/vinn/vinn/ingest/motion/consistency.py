"""Does a camera path explain the whole picture, or only something in it that moves by itself?

When the hand pulls a door, the picture holds two rigid bodies: the room, and the door. A mapper
follows the one with more features, both mappers follow the same one, and reprojection errors stay
small. What tells them apart is where the rest of the picture goes: matches that contradict the
path, all over the frame, show that the path belongs to the door.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.ingest.lenses.lens import Lens
from vinn.ingest.motion.mappers import Mapping
from vinn.ingest.motion.matching import GRID, grid_cell

_MIN_MATCHES_IN_CELL = 2


def consistent_share(
    rays: tuple[NDArray[np.float64], NDArray[np.float64]],
    mapping: Mapping,
    lens: Lens,
    first: int,
    second: int,
    max_error_px: float = 2.0,
) -> float:
    """Share of the picture that a mapping's motion between two frames explains, 0..1.

    The frame is divided into a grid; a cell counts for the mapping when most of its matches keep
    the epipolar constraint of the mapping's relative pose and lie in front of both cameras. Cells
    count alike, so that a richly textured door does not outvote a plain room.

    Args:
        rays: all matches between the two frames, each (M, 3) unit rays.
        mapping: camera poses.
        lens: of the frames.
        first: row of the first frame.
        second: row of the second.
        max_error_px: distance from the epipolar line that counts as kept.

    Returns:
        The share; NaN if a frame is not placed or no cell has matches.
    """
    placed = mapping.registered[[first, second]].all()
    if not placed or mapping.segment[first] != mapping.segment[second]:
        return float("nan")
    good = _explained(mapping, first, second, *rays, max_error_px / lens.fx_px)
    cell = grid_cell(lens.project(rays[0]), lens)
    count = np.bincount(cell, minlength=GRID[0] * GRID[1])
    explained = np.bincount(cell, weights=good, minlength=GRID[0] * GRID[1])
    used = count >= _MIN_MATCHES_IN_CELL
    if not used.any():
        return float("nan")
    return float((explained[used] > 0.5 * count[used]).mean())


def _explained(
    mapping: Mapping,
    first: int,
    second: int,
    rays_1: NDArray[np.float64],
    ray_2: NDArray[np.float64],
    limit: float,
) -> NDArray[np.bool_]:
    second_R_first = mapping.camera_from_world[second] @ mapping.camera_from_world[first].T
    # From the second camera's centre to the first's, in the second's axes.
    offset = mapping.camera_from_world[second] @ (
        mapping.world_centre[first] - mapping.world_centre[second]
    )
    ray_1 = rays_1 @ second_R_first.T
    normal = np.cross(offset / max(float(np.linalg.norm(offset)), 1e-12), ray_1)
    sine = np.linalg.norm(normal, axis=1)
    off_plane = np.abs(np.einsum("ij,ij->i", normal, ray_2)) / np.maximum(sine, 1e-9)
    # In front of both cameras: ray 2 lies between ray 1 and the offset's far end, as seen here.
    turn = np.cross(ray_1, ray_2)
    parallax = np.linalg.norm(turn, axis=1)
    forward = np.einsum("ij,ij->i", np.cross(ray_1, offset), turn) >= 0
    return np.asarray((off_plane < limit) & (forward | (parallax < limit)), np.bool_)
