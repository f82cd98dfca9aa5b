"""The first stages of the motion filter: is what was asked for a motion at all?"""

from __future__ import annotations

import math

import numpy as np

from vinn.robot.config import MotionConfig
from vinn.robot.types import REFUSALS, ReasonCode, StepRequest

LARGEST_COMPONENT = 1000.0
"""A request with a larger component is nonsense, not a motion (and could overflow)."""


def check_finite(request: StepRequest) -> str | None:
    """What is wrong with the numbers of a request, or None."""
    for name, shape in (
        ("camera_delta", (3,)),
        ("camera_rotation_rad", (3,)),
        ("gripper_probabilities", (4,)),
    ):
        value = getattr(request, name)
        if (
            not isinstance(value, np.ndarray)
            or value.shape != shape
            or value.dtype.kind not in "fiu"
        ):
            return f"{name}: {_describe(value)}; allowed: an array of {shape[0]} numbers"
        if not np.isfinite(value).all():
            return f"{name}: {value.tolist()}; allowed: finite numbers"
    largest = float(np.abs(request.camera_delta).max())
    if largest > LARGEST_COMPONENT:
        return f"camera_delta: component {largest:g}; allowed: at most {LARGEST_COMPONENT:g}"
    largest = float(np.abs(request.camera_rotation_rad).max())
    if largest > math.tau:
        return f"camera_rotation_rad: component {largest:g}; allowed: at most {math.tau:.3f}"
    # The mean of 0..3 with softmin weights may miss the ends by rounding.
    if not -1e-3 <= request.gripper_value <= 3.0 + 1e-3:
        return f"gripper_value: {request.gripper_value}; allowed: 0..3"
    if ((request.gripper_probabilities < -1e-3) | (request.gripper_probabilities > 1 + 1e-3)).any():
        return f"gripper_probabilities: {request.gripper_probabilities.tolist()}; allowed: 0..1"
    return None


def check_fresh(image_age_s: float, config: MotionConfig) -> str | None:
    """Why an image is too old (or its age no age at all), or None."""
    if not 0.0 <= image_age_s <= config.max_image_age_s:
        return f"image_age_s: {image_age_s:.3f}; allowed: 0..{config.max_image_age_s:g}"
    return None


def check_novelty(novelty: float, config: MotionConfig) -> str | None:
    """Why a view is too unlike the demonstrations to act on, or None. NaN means unknown."""
    if config.novelty_action == "halt" and novelty > config.novelty_limit:
        return f"novelty: {novelty:.2f}; allowed: at most {config.novelty_limit:g}"
    return None


def check_refusal(request: StepRequest) -> tuple[ReasonCode, str] | None:
    """Why the policy itself does not want to be acted on, or None."""
    if request.refusal is None:
        return None
    if request.refusal not in REFUSALS:
        allowed = ", ".join(reason.value for reason in REFUSALS)
        return ReasonCode.INVALID_INPUT, f"refusal: {request.refusal.value}; allowed: {allowed}"
    said = {ReasonCode.NO_GRASP_POINT: "the policy sees no place to grasp"}
    return request.refusal, said.get(request.refusal, "the policy does not know this view")


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape} and type {value.dtype}"
    return f"a {type(value).__name__}"
