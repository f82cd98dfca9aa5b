"""Views of a demonstration: the frames as they are, mirrored, or in other light.

    mirrored   left and right change places; so does the sign of the x translation. A cabinet
               hinged on the left becomes one hinged on the right. For a camera without roll, on a
               gripper that is symmetrical.
    light-N    gain, contrast and colour balance drawn anew for every frame; the action stays.

A view is remembered like a demonstration of its own, called `NAME~VIEW`. Where a demonstration is
left out, all its views are.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError

ORIGINAL = "original"
MIRRORED = "mirrored"
SEPARATOR = "~"
"""Between a demonstration's name, which never has it, and its view's."""
_LIGHT = re.compile(r"light-[1-9][0-9]?")

GAIN = 0.35
"""Relative change of brightness, either way."""
CONTRAST = 0.25
BALANCE = 0.12
"""Relative change of each colour channel."""


def views_of(mirrored: bool, light_copies: int) -> tuple[str, ...]:
    """Names of the views for these settings, the original first."""
    light = tuple(f"light-{number + 1}" for number in range(light_copies))
    return (ORIGINAL, *((MIRRORED,) if mirrored else ()), *light)


def check_view(view: str) -> str:
    """Return a known view's name.

    Raises:
        ConfigError: unknown; the known ones are listed.
    """
    if view not in (ORIGINAL, MIRRORED) and not _LIGHT.fullmatch(view):
        raise ConfigError(f"view '{view}' is unknown; allowed: original, mirrored, light-N")
    return view


def view_name(demonstration: str, view: str) -> str:
    """What a view of a demonstration is called; the original has the demonstration's name."""
    return demonstration if view == ORIGINAL else f"{demonstration}{SEPARATOR}{view}"


def origin_name(name: str) -> str:
    """The demonstration that a view is of."""
    return name.split(SEPARATOR)[0]


def view_frame(image_rgb: NDArray[np.uint8], view: str, key: str) -> NDArray[np.uint8]:
    """What a view makes of an image (H, W, 3) uint8.

    Args:
        image_rgb: the image.
        view: name of the view.
        key: of the frame; decides what a `light` view draws, on every machine alike.
    """
    if view == ORIGINAL:
        return image_rgb
    if view == MIRRORED:
        return np.ascontiguousarray(image_rgb[:, ::-1])
    seed = hashlib.sha256(f"{view}\n{key}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "little"))
    gain = (1 + GAIN * rng.uniform(-1, 1)) * (1 + BALANCE * rng.uniform(-1, 1, 3))
    contrast = 1 + CONTRAST * rng.uniform(-1, 1)
    image = image_rgb.astype(np.float32) * gain.astype(np.float32)
    mean = image.mean()
    return np.clip(mean + contrast * (image - mean), 0, 255).astype(np.uint8)


def view_delta(camera_delta: NDArray[np.float32], view: str) -> NDArray[np.float32]:
    """What a view makes of translations (N, 3) in the camera's frame (x right)."""
    if view != MIRRORED:
        return camera_delta
    return camera_delta * np.array([-1, 1, 1], np.float32)
