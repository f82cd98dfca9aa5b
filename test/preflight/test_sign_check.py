"""The sign check on pictures made by the pinhole formula."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from vinn.robot.checks.sign_check import AxisVerdict, SignCheck, check_axis
from vinn.robot.types import ReasonCode

SIZE_PX, FOCAL_PX, DEPTH_M = 240, 170.0, 0.3


def texture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
    return cv2.resize(blocks, (2 * SIZE_PX, 2 * SIZE_PX), interpolation=cv2.INTER_CUBIC)


def view(translation_m: tuple[float, float, float], fingers: bool = False) -> NDArray[np.uint8]:
    """A wall square to the camera, seen after the camera moved by `translation_m`."""
    x, y, z = translation_m
    zoom = DEPTH_M / (DEPTH_M - z)
    centre = (SIZE_PX - 1) / 2
    shift = np.array([-FOCAL_PX * x, -FOCAL_PX * y]) / (DEPTH_M - z)
    # From the wall's texture (twice as large as the picture) to the picture.
    warp = np.array([[zoom, 0, shift[0] + centre], [0, zoom, shift[1] + centre]])
    warp[:, 2] -= warp[:, :2] @ np.array([SIZE_PX - 0.5, SIZE_PX - 0.5])
    image = cv2.warpAffine(texture(), warp, (SIZE_PX, SIZE_PX), borderMode=cv2.BORDER_REFLECT)
    if fingers:
        block = cv2.resize(
            np.random.default_rng(3).integers(0, 255, (12, 20, 3), dtype=np.uint8), (140, 90)
        )
        image[150:, 50:190] = block
    return np.asarray(image, np.uint8)


def axis_result(
    axis: str,
    believed: tuple[float, float, float],
    real: tuple[float, float, float],
    **options: bool,
) -> AxisVerdict:
    moved = np.array(believed)
    pair = (view((0, 0, 0), **options), view(real, **options), moved)
    return check_axis(axis, [pair]).verdict


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("fingers", [False, True])
def test_each_axis_agrees_or_is_reversed_as_it_was_moved(
    axis: int, sign: float, fingers: bool
) -> None:
    believed = tuple(0.01 * sign * (np.arange(3) == axis))
    opposite = tuple(-value for value in believed)
    assert axis_result("xyz"[axis], believed, believed, fingers=fingers) is AxisVerdict.AGREES
    assert axis_result("xyz"[axis], believed, opposite, fingers=fingers) is AxisVerdict.REVERSED


def test_a_frozen_picture_and_a_blank_one_are_unclear() -> None:
    still = view((0, 0, 0))
    blank = np.full_like(still, 128)
    for axis, moved in (("x", [0.01, 0, 0]), ("z", [0, 0, 0.01])):
        for image in (still, blank):
            result = check_axis(axis, [(image, image, np.array(moved))])
            assert result.verdict is AxisVerdict.UNCLEAR
    check = SignCheck((result,) * 3)
    assert check.reason is ReasonCode.INVALID_IMAGE
    assert "texture" in check.message


def test_a_robot_that_did_not_move_is_unclear() -> None:
    result = check_axis("x", [(view((0, 0, 0)), view((0.01, 0, 0)), np.array([0.001, 0, 0]))])
    assert result.verdict is AxisVerdict.UNCLEAR
    assert "1.0 mm" in result.message


def test_there_and_back_must_say_the_same() -> None:
    here, there, moved = view((0, 0, 0)), view((0.01, 0, 0)), np.array([0.01, 0, 0])
    agree = check_axis("x", [(here, there, moved), (there, here, -moved)])
    assert agree.verdict is AxisVerdict.AGREES
    disagree = check_axis("x", [(here, there, moved), (there, here, moved)])
    assert disagree.verdict is AxisVerdict.UNCLEAR


def test_a_mirrored_picture_is_named() -> None:
    def mirrored(translation: tuple[float, float, float]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(view(translation)[:, ::-1])

    results = []
    for axis, moved in zip("xyz", np.eye(3) * 0.01, strict=True):
        pair = (mirrored((0, 0, 0)), mirrored(tuple(moved)), moved)
        results.append(check_axis(axis, [pair]))
    check = SignCheck(tuple(results))
    assert check.reason is ReasonCode.CAMERA_REVERSED
    assert "mirrored" in check.message
