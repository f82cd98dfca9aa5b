"""Where the gripper is seen: from the profile, from a painted image, or from what stays still.

Features on the gripper move with the camera. Unmasked, they can outvote a plain door, and the
reconstruction then says that the camera stood still.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_file
from vinn.demos.frames import read_image
from vinn.errors import ConfigError, ImageError
from vinn.ingest.lenses.lens import Lens

_MIN_FRAMES = 6
_MAX_COVER = 0.8


def read_mask(path: Path, lens: Lens) -> NDArray[np.bool_]:
    """A painted mask: an image in which anything bright is the gripper; resized to the frames.

    Raises:
        ConfigError: not an image, all or nothing painted.
    """
    try:
        image = read_image(path)
    except ImageError as cause:
        raise ConfigError(f"gripper mask: {cause}") from cause
    size = (lens.width_px, lens.height_px)
    mask = cv2.resize(image.max(axis=2), size, interpolation=cv2.INTER_NEAREST) > 127
    _check_cover(mask, path)
    return mask


def write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask as `read_mask` reads it (PNG); the file appears whole.

    Raises:
        ConfigError: all or nothing is painted, or it cannot be written.
    """
    _check_cover(mask, path)
    _, data = cv2.imencode(".png", np.where(mask, 255, 0).astype(np.uint8))
    with atomic_file(path, ConfigError) as file:
        file.write(data.tobytes())


def _check_cover(mask: NDArray[np.bool_], path: Path) -> None:
    cover = float(mask.mean())
    if not 0 < cover <= _MAX_COVER:
        raise ConfigError(
            f"gripper mask {path}: covers {cover:.0%} of the frame; expected more than 0 % and at "
            f"most {_MAX_COVER:.0%}"
        )


def still_mask(images_rgb: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    """Find what stays still on screen while the rest of the clip moves: the gripper.

    A pixel at which some frame has an edge belongs to the gripper if that edge is there in most
    frames, and runs the same way: the median over time keeps such a gradient, whereas passing edges
    of all directions cancel out. Areas without any edge say nothing and are left out, except where
    gripper edges enclose them.

    Args:
        images_rgb: frames spread over the clip, all (H, W, 3) uint8.

    Returns:
        (H, W), True on the gripper; all False where nothing stays still.

    Raises:
        ConfigError: too few frames to tell, or nearly everything stays still.
    """
    if len(images_rgb) < _MIN_FRAMES:
        raise ConfigError(
            f"gripper mask 'auto' needs at least {_MIN_FRAMES} frames, got {len(images_rgb)}; "
            "paint one instead"
        )
    gradients = np.stack([_gradient(image) for image in images_rgb])
    typical = np.linalg.norm(np.median(gradients, axis=0), axis=-1)
    strongest = np.percentile(np.linalg.norm(gradients, axis=-1), 90, axis=0)
    still = (typical > 20) & (typical > 0.6 * strongest)
    height, width = still.shape
    reach = max(3, round(width / 100)) | 1
    closed = cv2.morphologyEx(
        still.astype(np.uint8),
        cv2.MORPH_CLOSE,
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3 * reach, 3 * reach)),
    )
    mask = _large_parts(_filled(np.asarray(closed, np.uint8)), min_area=0.002 * height * width)
    found = cv2.dilate(mask, np.ones((reach, reach), np.uint8)) > 0
    if found.mean() > _MAX_COVER:
        raise ConfigError(
            f"gripper mask 'auto': {found.mean():.0%} of the picture keeps still, at most "
            f"{_MAX_COVER:.0%} can be the gripper; paint one instead"
        )
    return found


def _gradient(image_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 2) of the brightness, to the right and downwards."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY), (5, 5), 1.0)
    return np.stack([cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)], axis=-1)


def _filled(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    return filled


def _large_parts(mask: NDArray[np.uint8], min_area: float) -> NDArray[np.uint8]:
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    keep = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= min_area]
    return np.isin(parts, keep).astype(np.uint8)
