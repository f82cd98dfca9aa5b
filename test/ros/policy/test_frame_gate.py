"""What the gate says of frames that are wrong in themselves, however often they come."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from vinn.errors import ImageError
from vinn.robot.types import ReasonCode
from vinn_ros.policy.frame_gate import FrameGate, GateLimits

LIMITS = GateLimits(
    max_age_s=0.3,
    max_identical=3,
    darkest=6.0,
    brightest=249.0,
    min_contrast=4.0,
    min_sharpness=0.0,
)


def picture(height: int, width: int, mean: float = 120.0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(height * 10_000 + width)
    return np.clip(rng.normal(mean, 40, (height, width, 3)), 0, 255).astype(np.uint8)


def judged(gate: FrameGate, image: NDArray[np.uint8] | None, data: bytes) -> ReasonCode:
    """The reason for a frame, checked in the node's order."""
    if gate.check_bytes(data):
        return gate.last_reason
    if image is None:
        gate.malformed(ImageError("not a picture"))
    else:
        gate.check_pixels(image)
    return gate.last_reason


@pytest.mark.parametrize(
    ("image", "data"),
    [
        (np.zeros((48, 64, 3), np.uint8), b"black"),
        (np.full((48, 64, 3), 255, np.uint8), b"white"),
        (np.full((48, 64, 3), 120, np.uint8), b"blank"),
        (None, b"garbage"),
        (None, b""),
    ],
)
def test_what_shows_nothing_is_an_invalid_image_however_often_it_comes(
    image: NDArray[np.uint8] | None, data: bytes
) -> None:
    gate = FrameGate(LIMITS)
    assert [judged(gate, image, data) for _ in range(12)] == [ReasonCode.INVALID_IMAGE] * 12
    assert judged(gate, picture(48, 64), b"good") is ReasonCode.NONE
    # The same bytes again and again are still a camera that hangs, if the picture is good.
    again = [judged(gate, picture(48, 64), b"good") for _ in range(2)]
    assert again == [ReasonCode.NONE, ReasonCode.CAMERA_STALE]


@pytest.mark.parametrize("seed", range(4))
def test_another_shape_is_refused_in_a_rollout_and_taken_between_two(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = {(int(h), int(w)) for h, w in rng.integers(16, 200, (6, 2))}
    first, *others = (picture(*shape) for shape in shapes)
    gate = FrameGate(LIMITS)
    assert gate.check_shape(first, running=False) is None
    for other in [*others, first.transpose(1, 0, 2)]:
        assert gate.check_shape(first, running=True) is None
        refusal = gate.check_shape(other, running=True)
        assert refusal is not None and f"{first.shape[1]} x {first.shape[0]}" in refusal
        assert gate.last_reason is ReasonCode.INVALID_IMAGE
    # Nothing that was refused became the measure.
    assert gate.check_shape(first, running=True) is None
    assert gate.refused["reshaped"] == len(others) + 1
    for other in others:
        assert gate.check_shape(other, running=False) is None
        assert gate.check_shape(other, running=True) is None


def test_bytes_that_were_forgotten_are_repeated_by_nothing() -> None:
    gate = FrameGate(LIMITS)
    image = picture(48, 64)
    for _ in range(3):
        assert [judged(gate, image, b"a") for _ in range(4)] == [
            ReasonCode.NONE,
            ReasonCode.NONE,
            ReasonCode.CAMERA_STALE,
            ReasonCode.CAMERA_STALE,
        ]
        gate.forget_bytes()
    # A picture that shows nothing does so again.
    black = np.zeros((48, 64, 3), np.uint8)
    assert judged(gate, black, b"black") is ReasonCode.INVALID_IMAGE
    gate.forget_bytes()
    assert judged(gate, black, b"black") is ReasonCode.INVALID_IMAGE
