"""Crop, resize, normalise."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from vinn.encoders.preprocessing import Crop, Preprocessing
from vinn.errors import ImageError


def test_crop_takes_the_stated_rectangle() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 20:50] = (1, 2, 3)
    crop = Crop(left_px=20, top_px=10, right_px=50, bottom_px=30)
    resized = Preprocessing(crop=crop, width_px=8, height_px=6).resize(image)
    assert resized.shape == (6, 8, 3)
    assert (resized == (1, 2, 3)).all()


def test_area_resize_is_the_mean_of_blocks() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    resized = Preprocessing(width_px=8, height_px=6).resize(image)
    blocks = image.reshape(6, 4, 8, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resized, blocks, atol=0.51)


def test_normalise_per_channel_and_channel_first() -> None:
    preprocessing = Preprocessing(
        width_px=2, height_px=1, mean=(10, 20, 30), std=(1, 2, 4), interpolation="linear"
    )
    image = np.array([[[11, 24, 38], [9, 16, 22]]], np.uint8)
    found = preprocessing.normalise(preprocessing.resize(image))
    np.testing.assert_allclose(found, [[[[1, -1]], [[2, -2]], [[2, -2]]]])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((1, 9000, 3), np.uint8), "9000x1 exceeds"),
        ([[0, 0, 0]], "list"),
    ],
)
def test_bad_images_are_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Preprocessing().resize(image)


def test_image_smaller_than_crop_is_refused() -> None:
    crop = Crop(left_px=0, top_px=0, right_px=100, bottom_px=10)
    with pytest.raises(ImageError, match="50x50"):
        Preprocessing(crop=crop).resize(np.zeros((50, 50, 3), np.uint8))


def test_impossible_specifications_are_refused() -> None:
    with pytest.raises(ValidationError, match="right_px must exceed"):
        Crop(left_px=10, top_px=0, right_px=10, bottom_px=10)
    with pytest.raises(ValidationError, match="std must be > 0"):
        Preprocessing(std=(1, 0, 1))
    with pytest.raises(ValidationError, match="Extra inputs"):
        Preprocessing(colour="bgr")  # type: ignore[call-arg]
