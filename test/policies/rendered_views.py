"""Views of a textured plane before the hand, and of a bar that stands out of it, from anywhere."""

from __future__ import annotations

import cv2
import numpy as np
from vinn.policies.grasp.detector import GraspCamera
from vinn.policies.grasp.picture import EarlierView, detail_picture
from vinn.robot.config import CameraMount
from vinn.robot.kinematics import gripper_R_camera

SIDE_PX = 224
MOUNT = CameraMount()
AXES = np.stack([gripper_R_camera(MOUNT)[row] for row in (0, 2, 1)])
"""The gripper's right, up and forward in optical axes."""
RIGHT, UP, FORWARD = AXES
HAND = gripper_R_camera(MOUNT).T @ -np.array([MOUNT.right_m, MOUNT.forward_m, MOUNT.up_m])
CAMERA = GraspCamera(
    width_px=SIDE_PX,
    height_px=SIDE_PX,
    fx_px=160.0,
    fy_px=160.0,
    cx_px=111.5,
    cy_px=111.5,
    hand=tuple(HAND.tolist()),
)
HAND_CELLS = tuple(("." * 28,) * 20 + ("....####............####....",) * 8)
TEXELS_PER_M = 800
HALF_M = 0.6


def texture(seed: int, contrast: float = 1.0) -> np.ndarray:
    """Blotches of many sizes, (rows, columns, 3), 0..255."""
    rng = np.random.default_rng(seed)
    side = int(2 * HALF_M * TEXELS_PER_M)
    total = np.zeros((side, side, 3), np.float32)
    for cells in (24, 60, 150):
        coarse = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        total += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(120 + 35 * contrast * total, 0, 255)


def turn_of(about_x: float, about_y: float) -> np.ndarray:
    return np.array([[1, 0, about_y], [0, 1, -about_x], [-about_y, about_x, 1]])


def render(
    surface: np.ndarray,
    thing: np.ndarray,
    behind: float,
    turn: tuple[float, float] = (0.0, 0.0),
    bar: bool = False,
    light: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """An image of a plane `behind` a point `thing` (3,), relative to the camera as configured.

    The texture's middle lies behind the thing. With `bar`, an upright bar of two colours stands at
    the thing itself. The hand's two fingers are always in the view, at the same place.
    """
    x, y = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX))
    rays = CAMERA.rays(np.stack([x, y], axis=-1).astype(float)) @ turn_of(*turn)

    def hit(distance: float) -> tuple[np.ndarray, np.ndarray]:
        along = distance / np.maximum(rays @ FORWARD, 1e-3)
        off = rays * along[..., None] - thing
        return off @ RIGHT, off @ UP

    right, up = hit(float(thing @ FORWARD) + behind)
    u = ((right + HALF_M) * TEXELS_PER_M).astype(np.float32)
    v = ((HALF_M - up) * TEXELS_PER_M).astype(np.float32)
    image = cv2.remap(surface.astype(np.float32), u, v, cv2.INTER_LINEAR)
    if bar:
        right, up = hit(float(thing @ FORWARD))
        on_bar = (np.abs(right) < 0.009) & (np.abs(up) < 0.04)
        image[on_bar] = np.where(up[on_bar, None] > 0, 230.0, 20.0)
    noise = np.random.default_rng([seed, 7]).normal(0, 2, image.shape)
    image = image * light + noise
    image[160:, 32:64] = image[160:, 160:192] = 60
    return np.clip(image, 0, 255).astype(np.uint8)


def views(
    surface: np.ndarray,
    thing: np.ndarray,
    behind: float,
    moves: list[np.ndarray],
    lights: tuple[float, ...] = (1.0,),
    **options: object,
) -> tuple[np.ndarray, list[EarlierView]]:
    """The picture after some moves of the camera, and those before it; `thing` is as seen last."""
    earlier = []
    for number in range(len(moves)):
        moved = np.sum(moves[number:], axis=0)
        image = render(
            surface,
            thing + moved,
            behind,
            light=lights[number % len(lights)],
            seed=number,
            **options,
        )
        earlier.append(EarlierView(detail_picture(image), moved))
    last = render(surface, thing, behind, light=lights[-1], seed=99, **options)
    return detail_picture(last), earlier
