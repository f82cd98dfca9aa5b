"""Masks: what stays still on screen, and what was painted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from vinn.errors import ConfigError
from vinn.ingest.gripper.mask import read_mask, still_mask
from vinn.ingest.lenses.lens import Lens

LENS = Lens.pinhole(320, 240, 80)
FINGERS = [
    np.array([[80, 239], [110, 130], [130, 130], [140, 239]]),
    np.array([[180, 239], [190, 130], [210, 130], [240, 239]]),
]


def frames(count: int, gripper: bool = True, moving: bool = True) -> list[np.ndarray]:
    """A textured wall that passes behind a ribbed gripper."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (60, 90, 3), np.uint8)
    wall = cv2.resize(small, (900, 600), interpolation=cv2.INTER_CUBIC)
    images = []
    for i in range(count):
        x, y = ((17 * i) % 500, (11 * i) % 300) if moving else (0, 0)
        image = wall[y : y + 240, x : x + 320].copy()
        for finger in FINGERS if gripper else []:
            cv2.fillPoly(image, [finger], (30, 30, 35))
            cv2.polylines(image, [finger], True, (200, 200, 200), 2)
        images.append(image)
    return images


def test_what_keeps_still_is_the_gripper() -> None:
    truth = np.zeros((240, 320), np.uint8)
    cv2.fillPoly(truth, FINGERS, 1)
    found = still_mask(frames(12))
    assert found[truth > 0].mean() > 0.95
    # With a margin around it, and little else.
    assert found[truth == 0].mean() < 0.2


def test_nothing_keeps_still_where_no_gripper_is_seen() -> None:
    assert still_mask(frames(12, gripper=False)).mean() < 0.01


def test_a_clip_that_stands_still_shows_no_gripper() -> None:
    with pytest.raises(ConfigError, match=r"'auto': \d+% of the picture keeps still"):
        still_mask(frames(12, moving=False))


def test_too_few_frames_to_tell() -> None:
    with pytest.raises(ConfigError, match="at least 6 frames, got 5"):
        still_mask(frames(5))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, "cannot be read"),
        (b"no picture", "not an image"),
        (np.zeros((60, 80, 3), np.uint8), "covers 0%"),
        (np.full((60, 80, 3), 255, np.uint8), "covers 100%"),
    ],
)
def test_masks_that_are_refused(picture, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    if isinstance(picture, bytes):
        path.write_bytes(picture)
    elif picture is not None:
        cv2.imwrite(str(path), picture)
    with pytest.raises(ConfigError, match=message) as caught:
        read_mask(path, LENS)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_painted_mask_is_resized_to_the_frames(tmp_path: Path) -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[60:, 40:80] = (0, 255, 0)
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    mask = read_mask(tmp_path / "mask.png", LENS)
    assert mask.shape == (240, 320)
    assert mask[120:, 80:160].all() and mask.sum() == 120 * 80
