"""Lens models: pinhole, and the four-term fisheye of Kannala and Brandt (2006) that OpenCV uses.

A point at the angle theta from the optical axis lands at the distance
``f * theta * (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)`` from the principal point.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

_NEWTON_STEPS = 12


class Lens(BaseModel):
    """A calibrated camera: size and intrinsics in pixels of one frame.

    Pixel centres are at whole numbers (OpenCV's convention).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Literal["pinhole", "kb4"]
    width_px: int = Field(gt=0, le=10000)
    height_px: int = Field(gt=0, le=10000)
    fx_px: float = Field(gt=0)
    fy_px: float = Field(gt=0)
    cx_px: float
    cy_px: float
    k: tuple[float, float, float, float] | None = None
    """k1..k4 of the fisheye model; None for a pinhole."""

    @model_validator(mode="after")
    def _coefficients_fit_the_model(self) -> Lens:
        if (self.model == "kb4") != (self.k is not None):
            raise ValueError("k (four coefficients) goes with model kb4, and only with it")
        return self

    @classmethod
    def pinhole(cls, width_px: int, height_px: int, horizontal_fov_deg: float) -> Lens:
        """A pinhole with square pixels and a centred principal point."""
        focal_px = 0.5 * width_px / np.tan(np.deg2rad(horizontal_fov_deg) / 2)
        return cls(
            model="pinhole",
            width_px=width_px,
            height_px=height_px,
            fx_px=float(focal_px),
            fy_px=float(focal_px),
            cx_px=(width_px - 1) / 2,
            cy_px=(height_px - 1) / 2,
        )

    def scaled_to(self, width_px: int, height_px: int) -> Lens:
        """The same lens for frames that were resized to another size."""
        sx, sy = width_px / self.width_px, height_px / self.height_px
        return self.model_copy(
            update={
                "width_px": width_px,
                "height_px": height_px,
                "fx_px": self.fx_px * sx,
                "fy_px": self.fy_px * sy,
                "cx_px": (self.cx_px + 0.5) * sx - 0.5,
                "cy_px": (self.cy_px + 0.5) * sy - 0.5,
            }
        )

    def project(self, rays: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rays (..., 3) in the optical frame (x right, y down, z forward) to pixels (..., 2).

        Rays that a pinhole cannot see (z <= 0) become NaN.
        """
        x, y, z = rays[..., 0], rays[..., 1], rays[..., 2]
        if self.k is None:
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = np.where(z > 0, 1.0 / z, np.nan)
        else:
            radius = np.hypot(x, y)
            theta = np.arctan2(radius, z)
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = np.where(radius > 1e-12, self._distorted(theta) / radius, 1.0)
        return np.stack(
            [self.fx_px * x * scale + self.cx_px, self.fy_px * y * scale + self.cy_px], axis=-1
        )

    def unproject(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (..., 2) to unit rays (..., 3) in the optical frame."""
        x = (pixels[..., 0] - self.cx_px) / self.fx_px
        y = (pixels[..., 1] - self.cy_px) / self.fy_px
        radius = np.hypot(x, y)
        theta = np.arctan(radius) if self.k is None else self._undistorted(radius)
        with np.errstate(divide="ignore", invalid="ignore"):
            side = np.where(radius > 1e-12, np.sin(theta) / radius, 1.0)
        return np.stack([x * side, y * side, np.cos(theta)], axis=-1)

    def _distorted(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        k1, k2, k3, k4 = self.k or (0.0, 0.0, 0.0, 0.0)
        t2 = theta**2
        return theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))

    def _undistorted(self, radius: NDArray[np.float64]) -> NDArray[np.float64]:
        """Newton's method; angles are kept within [0, pi]."""
        k1, k2, k3, k4 = self.k or (0.0, 0.0, 0.0, 0.0)
        theta = np.clip(radius, 0.0, np.pi)
        for _ in range(_NEWTON_STEPS):
            t2 = theta**2
            slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
            slope = np.where(np.abs(slope) < 1e-6, 1e-6, slope)
            theta = np.clip(theta - (self._distorted(theta) - radius) / slope, 0.0, np.pi)
        return theta
