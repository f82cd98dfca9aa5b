"""Views that a detector of grasp points learns from: frames of an approach, and made-up ones.

Every frame of a demonstration from before a change of the gripper knows the way to it
(`vinn.demos.hindsight`), hence where in the picture it is. From each, further views are made whose
labels are known as well:

    another place    the picture is warped as if the camera had been elsewhere in a cone before the
                     thing; what counts as the thing is the plane through the point, across the
                     gripper. The gripper itself, found as what stays the same in all frames, is cut
                     out before and put back after.
    mirrored         for a camera without roll on a gripper that is symmetrical
    turned           by small angles, gripper and all: a camera that sits a little otherwise
    other light      gain, contrast, colour balance, noise
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.policies.grasp.detector import GraspCamera

TURN_RAD = 0.06
SCALES = (0.55, 1.8)
"""How much nearer or farther a picture may be warped."""
TRIES = 20
SIDEWAYS, UPWARDS = (0.02, 0.6, 0.12), (0.02, 0.5, 0.10)
"""Of the cone: half width at the point [m], growth per metre before it, greatest half width [m]."""
NEAREST_M, FARTHEST_M = -0.04, 0.25
"""Of the cone, before the point. Past it as well: a distance that is never seen is never said."""
GAIN, BALANCE, CONTRAST, NOISE = 0.35, 0.15, 0.3, 8.0


@dataclass(frozen=True)
class ApproachFrame:
    """A frame that knows where the gripper changes next.

    Attributes:
        image_rgb: (H, W, 3) uint8, as the network takes it.
        to_change: (3,) in optical axes, in the action scale.
        phase: row of the detector's phases.
    """

    image_rgb: NDArray[np.uint8]
    to_change: NDArray[np.float64]
    phase: int


@dataclass(frozen=True)
class LabelledViews:
    """N views. Pixels are those of the network's input.

    Attributes:
        images_rgb: (N, H, W, 3) uint8.
        to_change: (N, 3) from the hand to the point, optical axes as configured, action scale.
        pixels: (N, 2) where the point is.
        hand_pixels: (N, 2) where the point between the finger tips is.
        phases: (N,) rows of the detector's phases.
    """

    images_rgb: NDArray[np.uint8]
    to_change: NDArray[np.float64]
    pixels: NDArray[np.float64]
    hand_pixels: NDArray[np.float64]
    phases: NDArray[np.int64]


def labelled_views(
    frames: Sequence[ApproachFrame],
    camera: GraspCamera,
    approach_camera: NDArray[np.float64],
    unit_m: float,
    copies: int,
    mirrored: bool,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelledViews:
    """The frames, mirrored where that is right, and `copies` made-up views of each.

    Args:
        frames: of all demonstrations.
        camera: of the frames.
        approach_camera: (3, 3) the gripper's axes right, up and forward as rows, optical axes.
        unit_m: metres of what the actions call 1.
        copies: made-up views per frame.
        mirrored: whether left and right may change places.
        seed: of what is drawn.
        on_progress: called with (frames done, frames in all).
    """
    maker = _Maker(camera, approach_camera, unit_m, mirrored, seed)
    masks = {
        phase: gripper_mask([f.image_rgb for f in frames if f.phase == phase])
        for phase in sorted({frame.phase for frame in frames})
    }
    views: list[tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64], int]] = []
    for number, frame in enumerate(frames):
        views.append((frame.image_rgb, frame.to_change, np.eye(3), frame.phase))
        if mirrored:
            views.append((*_mirror(frame.image_rgb, frame.to_change), np.eye(3), frame.phase))
        filled = _filled(frame.image_rgb, masks[frame.phase])
        for _ in range(copies):
            image, way, turn = maker.view(frame, filled, masks[frame.phase])
            views.append((image, way, turn, frame.phase))
        if on_progress is not None:
            on_progress(number + 1, len(frames))
    hand = np.array(camera.hand)
    ways = np.array([view[1] for view in views])
    turns = np.array([view[2] for view in views])
    return LabelledViews(
        images_rgb=np.array([view[0] for view in views]),
        to_change=ways,
        pixels=_warped(turns, camera.project(hand + ways)),
        hand_pixels=_warped(turns, np.broadcast_to(camera.project(hand), (len(views), 2))),
        phases=np.array([view[3] for view in views], np.int64),
    )


def gripper_mask(images_rgb: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    """(H, W) pixels of the gripper: what reaches in from the lower edge and stays the same.

    Brightness is compared by its logarithm, after each image's own light is taken out.
    """
    grey = np.array([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images_rgb])
    light = np.log(grey.astype(np.float32) + 5.0)
    off = light - np.median(light, axis=0)
    steady = np.median(np.abs(off), axis=0)
    own_light = np.median(off[:, steady <= np.quantile(steady, 0.1)], axis=1)
    spread = np.median(np.abs(off - own_light[:, None, None]), axis=0)
    core = (spread < 0.6 * np.median(spread)).astype(np.uint8)
    core = np.asarray(cv2.morphologyEx(core, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    side = max(3, round(0.067 * min(core.shape)) | 1)
    joined = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    _, parts = cv2.connectedComponents(np.asarray(joined, np.uint8))
    from_below = np.setdiff1d(np.unique(parts[-1]), [0])
    core = core * np.isin(parts, from_below).astype(np.uint8)
    rim = max(3, round(0.058 * min(core.shape)) | 1)
    grown = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (rim, rim)))
    mask: NDArray[np.bool_] = np.asarray(grown) > 0
    return mask


def cell_shares(
    pixels: NDArray[np.float64], cell_px: NDArray[np.float64], grid: tuple[int, int]
) -> NDArray[np.float32]:
    """(N, cells) each pixel's weight on the four cells around it; rows sum to 1 inside the grid."""
    rows, columns = grid
    place = (pixels + 0.5) / cell_px - 0.5
    corner = np.floor(place).astype(np.int64)
    share = place - corner
    found = np.zeros((len(pixels), rows, columns), np.float32)
    for right in (0, 1):
        for down in (0, 1):
            x, y = corner[:, 0] + right, corner[:, 1] + down
            weight = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
            inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
            found[np.flatnonzero(inside), y[inside], x[inside]] += weight[inside]
    return found.reshape(len(pixels), rows * columns)


class _Maker:
    """Draws views."""

    def __init__(
        self,
        camera: GraspCamera,
        approach_camera: NDArray[np.float64],
        unit_m: float,
        mirrored: bool,
        seed: int,
    ) -> None:
        self._rng = np.random.default_rng([seed, 0x6A5B])
        self._hand = np.array(camera.hand)
        self._axes, self._unit_m, self._mirrored = approach_camera, unit_m, mirrored
        self._matrix = np.array(
            [
                [camera.fx_px, 0, camera.cx_px],
                [0, camera.fy_px, camera.cy_px],
                [0, 0, 1],
            ]
        )
        self._inverse = np.linalg.inv(self._matrix)
        self._noise = self._rng.standard_normal((camera.height_px, camera.width_px, 3))

    def view(
        self, frame: ApproachFrame, filled: NDArray[np.uint8], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
        """A made-up view: image, way to the point, homography of its small turn."""
        rng = self._rng
        image, way = frame.image_rgb, frame.to_change
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.5)
        if self._mirrored and rng.random() < 0.5:
            image, way = _mirror(image, way)
            filled, soft = filled[:, ::-1], soft[:, ::-1]
        forward = self._axes[2]
        distance = float(forward @ (self._hand + way))
        new_way = way
        for _ in range(TRIES):
            drawn = self._cone()
            if SCALES[0] < float(forward @ (self._hand + drawn)) / distance < SCALES[1]:
                new_way = drawn
                break
        shift = np.eye(3) - np.outer(way - new_way, forward) / distance
        turned, _ = cv2.Rodrigues(TURN_RAD * rng.uniform(-1, 1, 3))
        turn = self._matrix @ np.asarray(turned, np.float64) @ self._inverse
        behind = _warp(filled, turn @ self._matrix @ shift @ self._inverse)
        share = _warp(soft, turn)[..., None]
        mixed = behind + (_warp(image, turn) - behind) * share
        return self._other_light(mixed), new_way, turn

    def _cone(self) -> NDArray[np.float64]:
        """(3,) a way to the point from somewhere before it, in the action scale."""
        rng = self._rng
        forward = rng.uniform(NEAREST_M, FARTHEST_M)
        right, up = (
            rng.uniform(-1, 1) * min(most, near + growth * max(forward, 0.0))
            for near, growth, most in (SIDEWAYS, UPWARDS)
        )
        return np.array([right, up, forward]) @ self._axes / self._unit_m

    def _other_light(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        rng = self._rng
        gain = (1 + GAIN * rng.uniform(-1, 1)) * (1 + BALANCE * rng.uniform(-1, 1, 3))
        contrast = 1 + CONTRAST * rng.uniform(-1, 1)
        middle = float((image.mean(axis=(0, 1)) * gain).mean())
        lit = image * (contrast * gain).astype(np.float32) + np.float32((1 - contrast) * middle)
        if rng.random() < 0.3:
            lit += (rng.uniform(0.0, NOISE) * self._noise).astype(np.float32)
        return np.clip(lit, 0, 255).astype(np.uint8)


def _mirror(
    image_rgb: NDArray[np.uint8], way: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    return np.ascontiguousarray(image_rgb[:, ::-1]), way * [-1.0, 1.0, 1.0]


def _filled(image_rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image with the gripper painted over from around it, coarsely."""
    height, width = mask.shape
    half = (width // 2, height // 2)
    small = cv2.resize(image_rgb, half, interpolation=cv2.INTER_AREA)
    hole = cv2.resize(mask.astype(np.uint8), half, interpolation=cv2.INTER_NEAREST)
    painted = cv2.resize(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), (width, height))
    return np.where(mask[..., None], painted, image_rgb).astype(np.uint8)


def _warp(image: NDArray[Any], homography: NDArray[np.float64]) -> NDArray[np.float32]:
    size = (image.shape[1], image.shape[0])
    warped = cv2.warpPerspective(
        np.ascontiguousarray(image),
        homography,
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(warped, np.float32)


def _warped(homographies: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) pixels after a homography (N, 3, 3) each."""
    flat = np.einsum("nij,nj->ni", homographies, np.column_stack([pixels, np.ones(len(pixels))]))
    moved: NDArray[np.float64] = flat[:, :2] / flat[:, 2:]
    return moved
