"""How far away the thing before the hand is, from how its picture grew while the arm moved.

Between two views the camera has moved by a known translation t and has not turned (the wrist is
held). What is seen around the grasp point lies about in one plane across the gripper, normal n.
At distance d of the later camera, what a pixel with ray q shows was seen before along

    q' ~ q + R t (R n . q) / d

R is the small turn of the camera against its configured mount, the same in all views. Distance and
turn are found together, from several earlier views at once, by least squares on the pictures
(Gauss-Newton, robust against what lies elsewhere). Nothing is learned, so nothing depends on
whether the thing looks like a demonstrated one. The hand itself is left out.

The same pictures say what stands out of the plane: there they fit better at a smaller distance. A
picture of a handle does not, a handle does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.policies.grasp.detector import GraspCamera
from vinn.policies.grasp.picture import EarlierView, picture_size

EVERY_PX = 3
"""Pixels of the later picture that are compared: every third one in each direction."""
WINDOW = 0.27
"""Share of the width: pixels count by a bell of this deviation around the grasp point."""
STARTS = (0.7, 0.8, 0.9, 1.0, 1.12, 1.25, 1.4)
"""Factors on the expected distance: the search starts at the one that fits best."""
ITERATIONS = 6
LARGEST_STEP = 0.1
"""Of one iteration: logarithm of the distance, angles [rad]."""
TURN_STD_RAD = 0.03
MOST_MISMATCH = 2.0
"""A pixel's squared difference counts no more than this: pictures have a mean square of about 1."""
LEAST_MOVED = 0.03
"""Of the farthest earlier view, as a share of the distance: below it nothing is seen."""
SMOOTHED_PX = 2.5
"""Of the picture: what stands out is the mean over about so much."""
MOST_UNLIKE = 0.8
"""Mismatch, as a share of the picture's own mean square, above which nothing was found: of pictures
that have nothing in common it is far above 1."""
LEAST_WEIGHT = 30.0
"""Pixels, weighted, that an earlier view must share with this one on average."""


@dataclass(frozen=True)
class Relief:
    """What views of one approach say of what is before the hand.

    Attributes:
        distance: of the plane around the thing from the camera now, along its normal.
        stands_out: (rows, columns) of the picture, within -2 and 2: how much worse the earlier
            pictures fit at the plane's distance than at the thing's own. 0: both alike.
    """

    distance: float
    stands_out: NDArray[np.float32]


class Parallax:
    """Distances of planes across the gripper, for one camera and one hand."""

    def __init__(
        self, camera: GraspCamera, forward: NDArray[np.float64], hand_cells: Sequence[str]
    ) -> None:
        """Args:
        camera: as configured.
        forward: (3,) the way the gripper looks, optical axes.
        hand_cells: see `PlanePrior`.
        """
        self._forward = forward
        width, height = picture_size(camera.width_px, camera.height_px)
        scale = np.array([width / camera.width_px, height / camera.height_px])
        self._size = np.array([width, height])
        self._focal = np.array([camera.fx_px, camera.fy_px]) * scale
        self._middle = (np.array([camera.cx_px, camera.cy_px]) + 0.5) * scale - 0.5
        hidden = np.array([[cell == "#" for cell in row] for row in hand_cells], np.float32)
        hand = cv2.resize(hidden, (width, height), interpolation=cv2.INTER_LINEAR)
        self._free = (np.asarray(hand) < 0.01).astype(np.float32)
        down, right = np.nonzero(self._free[::EVERY_PX, ::EVERY_PX])
        self._rows, self._columns = down * EVERY_PX, right * EVERY_PX
        self._pixels = np.column_stack([self._columns, self._rows]).astype(np.float64)
        self._rays = self._rays_of(self._pixels)
        y, x = np.mgrid[0:height, 0:width]
        self._all_rays = self._rays_of(np.column_stack([x.ravel(), y.ravel()]))

    def _rays_of(self, pixels: NDArray[np.floating]) -> _Rays:
        x, y = ((pixels - self._middle) / self._focal).T
        directions = np.stack([x, y, np.ones_like(x)])
        return _Rays(x, y, _turnings(self._forward) @ directions)

    def relief(
        self,
        picture: NDArray[np.float32],
        earlier: Sequence[EarlierView],
        image_uv: NDArray[np.float64],
        expected: float,
        before: float,
    ) -> Relief | None:
        """The plane and what stands out of it; None where the views do not tell.

        Args:
            picture: of the view now.
            earlier: views before it, oldest first.
            image_uv: (2,) where the thing is in the image, 0..1 from the left and from the top.
            expected: about how far away the plane is, in the unit of the moves; more than 0.
            before: how far before the plane the thing is; less than the distance.
        """
        values = self._fitted(picture, earlier, image_uv, expected)
        if values is None:
            return None
        distance = float(np.exp(values[0]))
        nearer = np.log(max(distance - before, 0.1 * distance))
        worse = np.zeros(picture.shape, np.float64)
        weight = np.zeros(picture.shape, np.float64)
        for view in _spread_out(earlier):
            free = self._free
            off = []
            for log_distance in (values[0], nearer):
                place = self._place(
                    self._all_rays, view.moved, np.array([log_distance, *values[1:]])
                )
                seen, not_hand = _read(place.reshape(*picture.shape, 2), (view.picture, self._free))
                off.append(np.minimum((seen - picture) ** 2, MOST_MISMATCH))
                free = free * (not_hand > 0.999)
            worse += (off[0] - off[1]) * free
            weight += free
        smooth = [np.asarray(cv2.GaussianBlur(m, (0, 0), SMOOTHED_PX)) for m in (worse, weight)]
        return Relief(distance, (smooth[0] / np.maximum(smooth[1], 0.3)).astype(np.float32))

    def distance(
        self,
        picture: NDArray[np.float32],
        earlier: Sequence[EarlierView],
        image_uv: NDArray[np.float64],
        expected: float,
    ) -> float | None:
        """The plane's distance alone; see `relief`."""
        values = self._fitted(picture, earlier, image_uv, expected)
        return None if values is None else float(np.exp(values[0]))

    def _fitted(
        self,
        picture: NDArray[np.float32],
        earlier: Sequence[EarlierView],
        image_uv: NDArray[np.float64],
        expected: float,
    ) -> NDArray[np.float64] | None:
        """(3,) log distance and turn, or None: the camera has hardly moved, the views share too
        little, or the best match is a bad one or nowhere near."""
        views = _spread_out(earlier)
        moved = max((float(np.linalg.norm(view.moved)) for view in views), default=0.0)
        if moved < LEAST_MOVED * expected:
            return None
        off = (self._pixels - image_uv * self._size) / (WINDOW * self._size[0])
        match = _Match(
            now=picture[self._rows, self._columns],
            window=np.exp(-0.5 * (off**2).sum(axis=1)),
            earlier=[_EarlierPicture.of(view, self._free) for view in views],
        )
        starts = [np.array([np.log(expected * factor), 0.0, 0.0]) for factor in STARTS]
        values = min(starts, key=lambda start: self._mismatch(match, start))
        for _ in range(ITERATIONS):
            step = self._step(match, values)
            if step is None:
                return None
            values = values - step
        strength = float(match.window @ np.minimum(match.now**2, MOST_MISMATCH))
        limit = MOST_UNLIKE * strength / float(match.window.sum())
        near = abs(values[0] - np.log(expected)) < 2.0 * np.log(STARTS[-1])
        return values if near and self._mismatch(match, values) <= limit else None

    def _mismatch(self, match: _Match, values: NDArray[np.float64]) -> float:
        """Mean square difference of the pictures for a log distance and turn (3,)."""
        total = weight = 0.0
        for view in match.earlier:
            seen, free = view.at(
                self._place(self._rays, view.moved, values), (view.picture, view.free)
            )
            share = match.window * (free > 0.999)
            total += float(share @ np.minimum((seen - match.now) ** 2, MOST_MISMATCH))
            weight += float(share.sum())
        return total / weight if weight else np.inf

    def _step(self, match: _Match, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """(3,) what a Gauss-Newton iteration takes away from the values."""
        jacobians, differences, shares = [], [], []
        for view in match.earlier:
            place = self._place(self._rays, view.moved, values)
            seen, across, down, free = view.at(
                place, (view.picture, view.across, view.down, view.free)
            )
            slopes = self._slopes(self._rays, view.moved, values, across, down)
            jacobians.append(slopes)
            differences.append(seen - match.now)
            shares.append(match.window * (free > 0.999))
        if sum(float(share.sum()) for share in shares) < LEAST_WEIGHT * len(match.earlier):
            return None
        jacobian, difference = np.concatenate(jacobians), np.concatenate(differences)
        robust = np.concatenate(shares) / (1.0 + difference**2) ** 2
        noise = max(float(robust @ difference**2) / max(float(robust.sum()), 1e-9), 0.05)
        prior = np.array([1e-6, TURN_STD_RAD**-2, TURN_STD_RAD**-2])
        matrix = jacobian.T @ (jacobian * robust[:, None]) / noise + np.diag(prior)
        slope = jacobian.T @ (difference * robust) / noise + prior * [0.0, *values[1:]]
        step: NDArray[np.float64] = np.linalg.solve(matrix, slope)
        return np.clip(step, -LARGEST_STEP, LARGEST_STEP)

    def _place(
        self, rays: _Rays, moved: NDArray[np.float64], values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(N, 2) pixels of the earlier picture that show what the later one's rays do."""
        x, y, depth = rays.before(moved, values)
        return np.column_stack([x / depth, y / depth]) * self._focal + self._middle

    def _slopes(
        self,
        rays: _Rays,
        moved: NDArray[np.float64],
        values: NDArray[np.float64],
        across: NDArray[np.float64],
        down: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(N, 3) how brightness seen there changes with log distance and turn.

        `across` and `down` (N,) are the slopes of brightness per pixel at these places.
        """
        x, y, depth = rays.before(moved, values)
        nearer = np.exp(-values[0])
        turned = np.array([1.0, *values[1:]])
        way, ways = turned @ _turnings(moved), _turnings(moved)[1:]
        along = nearer * (turned @ rays.ahead)
        across, down = across * self._focal[0] / depth, down * self._focal[1] / depth
        slopes = np.empty((len(depth), 3))
        for number in range(3):
            if number == 0:
                change = np.outer(way, -along)
            else:
                change = np.outer(way, nearer * rays.ahead[number])
                change = change + np.outer(ways[number - 1], along)
            slopes[:, number] = across * (change[0] - x / depth * change[2]) + down * (
                change[1] - y / depth * change[2]
            )
        return slopes


@dataclass(frozen=True)
class _Rays:
    """Rays of depth 1 of the later picture's pixels.

    Attributes:
        x, y: (N,) components to the right and down.
        ahead: (3, N) component along the plane's normal, and how it changes with the turn.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    ahead: NDArray[np.float64]

    def before(
        self, moved: NDArray[np.float64], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Components (N,) each of what the plane shows there, as seen before the camera moved."""
        turned = np.array([1.0, *values[1:]])
        right, down, forward = turned @ _turnings(moved)
        along = np.exp(-values[0]) * (turned @ self.ahead)
        return (
            self.x + right * along,
            self.y + down * along,
            np.maximum(1.0 + forward * along, 1e-6),
        )


def _turnings(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rows: a vector, and how it changes with a small turn about x and about y."""
    x, y, z = vector
    return np.array([[x, y, z], [0.0, -z, y], [z, 0.0, -x]])


@dataclass(frozen=True)
class _EarlierPicture:
    """An earlier picture, its slopes in brightness per pixel, and where the hand is not."""

    picture: NDArray[np.float32]
    across: NDArray[np.float32]
    down: NDArray[np.float32]
    free: NDArray[np.float32]
    moved: NDArray[np.float64]

    @classmethod
    def of(cls, view: EarlierView, free: NDArray[np.float32]) -> _EarlierPicture:
        down, across = np.gradient(view.picture)
        return cls(view.picture, np.asarray(across), np.asarray(down), free, view.moved)

    def at(
        self, pixels: NDArray[np.float64], maps: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float64]]:
        """Values (N,) of some of its maps at pixels (N, 2), between pixels linearly."""
        return [map_[0].astype(np.float64) for map_ in _read(pixels[None], maps)]


@dataclass(frozen=True)
class _Match:
    """What is compared: brightness now and weight (N,) of the pixels, and the earlier pictures."""

    now: NDArray[np.float32]
    window: NDArray[np.float64]
    earlier: Sequence[_EarlierPicture]


def _read(
    pixels: NDArray[np.float64], maps: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Values (rows, columns) of maps at pixels (rows, columns, 2), between pixels linearly."""
    x, y = (np.ascontiguousarray(pixels[..., axis], np.float32) for axis in (0, 1))
    return [np.asarray(cv2.remap(map_, x, y, cv2.INTER_LINEAR), np.float32) for map_ in maps]


def _spread_out(earlier: Sequence[EarlierView]) -> list[EarlierView]:
    """Those that are compared with: the oldest, and some between."""
    count = len(earlier)
    return [earlier[number] for number in sorted({0, count // 2, 3 * count // 4}) if count]
