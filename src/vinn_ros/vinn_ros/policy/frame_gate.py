"""Which frames are fit to be acted on. No ROS here; the caller says how old a frame is."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from vinn.errors import ImageError
from vinn.robot.types import ReasonCode

_REASONS = {"stale": ReasonCode.STALE_INPUT, "identical": ReasonCode.CAMERA_STALE}
"""Of what is refused; everything else is INVALID_IMAGE."""


@dataclass(frozen=True)
class GateLimits:
    """What is refused."""

    max_age_s: float
    """Older frames [s]."""
    max_identical: int
    """The frame that is the n-th with the same bytes, and those after it."""
    darkest: float
    """Mean grey value below which a frame counts as black, of 255."""
    brightest: float
    """Mean grey value above which a frame counts as white or saturated, of 255."""
    min_contrast: float
    """Standard deviation of the grey values below which a frame shows nothing, of 255."""
    min_sharpness: float
    """Variance of the Laplacian below which a frame counts as blurred; 0 accepts all."""


class FrameGate:
    """Checks frames in the order in which they come, and counts what it refuses, by reason."""

    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        self._last: bytes | None = None
        self._identical = 0
        self._content: tuple[str, str] | None = None
        """What is wrong with the newest bytes themselves, whenever they come; None: nothing."""
        self._shape: tuple[int, ...] | None = None
        """Of the frames before; None: there were none."""
        self.refused: Counter[str] = Counter()
        self.last_refusal = ""
        """Why the newest frame was refused; empty: it was not."""
        self.last_reason = ReasonCode.NONE
        """The same as a reason code."""

    def check_bytes(self, data: bytes) -> str | None:
        """Why encoded bytes are refused, before they are decoded, or None."""
        if data != self._last:
            self._identical, self._content = 0, None
        self._identical += 1
        self._last = data
        if not data:
            return self._spoilt("empty", "0 bytes")
        if self._identical >= self._limits.max_identical:
            # A black picture that comes again and again is still a black picture.
            if self._content is not None:
                return self._refuse(*self._content)
            return self._refuse("identical", f"{self._identical} byte-identical frames in a row")
        self._accept()
        return None

    def forget_bytes(self) -> None:
        """Another stream begins: its frames repeat none of those before."""
        self._last, self._identical, self._content = None, 0, None

    def check_age(self, age_s: float) -> str | None:
        """Why a frame of this age is refused, or None."""
        # A stamp in the future says as little about the age as an old one: the clocks differ.
        if not (math.isfinite(age_s) and abs(age_s) <= self._limits.max_age_s):
            return self._refuse(
                "stale", f"{age_s:.2f} s old by its stamp; allowed: {self._limits.max_age_s:g}"
            )
        self._accept()
        return None

    def check_shape(self, image_rgb: NDArray[np.uint8], running: bool) -> str | None:
        """Why a picture of this shape is refused, or None.

        Args:
            image_rgb: (H, W, 3) the frame.
            running: a rollout runs: its frames keep the shape of the frames before. Otherwise the
                camera may have been set anew.
        """
        shape = image_rgb.shape
        if running and self._shape is not None and shape != self._shape:
            # The same bytes may be all right after the rollout: nothing is wrong with them.
            return self._refuse(
                "reshaped",
                f"{shape[1]} x {shape[0]}; allowed during a rollout: "
                f"{self._shape[1]} x {self._shape[0]}, as before",
            )
        self._shape = shape
        self._accept()
        return None

    def check_pixels(self, image_rgb: NDArray[np.uint8]) -> str | None:
        """Why the picture is refused, or None."""
        limits = self._limits
        # A quarter of the rows and columns tells as much about light, and costs a sixteenth.
        grey = cv2.cvtColor(np.ascontiguousarray(image_rgb[::4, ::4]), cv2.COLOR_RGB2GRAY)
        mean, contrast = float(grey.mean()), float(grey.std())
        if mean < limits.darkest:
            return self._spoilt("black", f"mean {mean:.1f}; allowed: at least {limits.darkest:g}")
        if mean > limits.brightest:
            return self._spoilt("white", f"mean {mean:.1f}; allowed: at most {limits.brightest:g}")
        if contrast < limits.min_contrast:
            return self._spoilt(
                "blank", f"contrast {contrast:.1f}; allowed: at least {limits.min_contrast:g}"
            )
        if limits.min_sharpness > 0:
            full = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
            sharpness = float(cv2.Laplacian(full, cv2.CV_64F).var())
            if sharpness < limits.min_sharpness:
                return self._spoilt(
                    "blurred",
                    f"sharpness {sharpness:.1f}; allowed: at least {limits.min_sharpness:g}",
                )
        self._accept()
        return None

    def malformed(self, error: ImageError) -> str:
        """Count a frame that cannot be decoded."""
        return self._spoilt("malformed", str(error))

    def _spoilt(self, kind: str, message: str) -> str:
        self._content = (kind, message)
        return self._refuse(kind, message)

    def _refuse(self, kind: str, message: str) -> str:
        self.refused[kind] += 1
        self.last_refusal = f"{kind} frame: {message}"
        self.last_reason = _REASONS.get(kind, ReasonCode.INVALID_IMAGE)
        return self.last_refusal

    def _accept(self) -> None:
        self.last_refusal, self.last_reason = "", ReasonCode.NONE
