"""What becomes of a camera's frames on the robot: the warp that demonstrations went through."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError
from vinn.ingest.gripper.classifier import check_crop
from vinn.ingest.lenses.camera_profile import CameraProfile
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.lenses.linearize import Linearizer


def parse_crop(text: str) -> tuple[float, float, float, float] | None:
    """`left,top,right,bottom` in fractions of a frame; None for an empty text.

    Raises:
        ConfigError: anything else.
    """
    if not text:
        return None
    try:
        edges: Sequence[float] = tuple(float(part) for part in text.split(","))
    except ValueError as cause:
        raise ConfigError(f"crop: {text!r}; allowed: left,top,right,bottom or empty") from cause
    return check_crop(edges, "crop")


class FrameView:
    """Crop, then undistort as the profile's demonstrations were, or leave as it is.

    Crop is of the camera's own frames, in fractions of their sides. A profile with a crop is
    refused: its calibration is for whole frames.
    """

    def __init__(
        self,
        profile: CameraProfile | None = None,
        crop: tuple[float, float, float, float] | None = None,
    ) -> None:
        """Args: the calibrated camera, or what part of its frames is used.

        Raises:
            ConfigError: both.
        """
        if profile is not None and crop is not None:
            raise ConfigError(
                f"crop: {crop} with camera_profile '{profile.name}'; allowed: one of the two "
                "(the profile's output says what is seen)"
            )
        self._profile = profile
        self._crop = crop
        self._warp: Linearizer | None = None

    @property
    def lens(self) -> Lens | None:
        """The lens of what comes out; None: unknown."""
        return None if self._profile is None else self._profile.stored_lens

    def __call__(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB as the camera gives it, to the frame that is published.

        Raises:
            ConfigError: another aspect ratio than the profile's.
        """
        height, width = image_rgb.shape[:2]
        if self._crop is not None:
            left, top, right, bottom = self._crop
            rows = slice(round(top * height), round(bottom * height))
            columns = slice(round(left * width), round(right * width))
            return np.ascontiguousarray(image_rgb[rows, columns])
        profile = self._profile
        if profile is None:
            return image_rgb
        frames = profile.stored or profile.output
        if frames.projection == "raw":
            profile.lens_for(width, height, "camera")
            size = (frames.width_px, frames.height_px)
            if size == (width, height):
                return image_rgb
            return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        warp = self._warp
        if warp is None or (warp.source.width_px, warp.source.height_px) != (width, height):
            warp = Linearizer(profile.lens_for(width, height, "camera"), profile.stored_lens)
            self._warp = warp
        return warp(image_rgb)
