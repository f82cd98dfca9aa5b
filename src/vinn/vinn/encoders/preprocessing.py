"""What happens to an image between the camera and the network.

Crop, then resize to the network's input, then (x - mean) / std per channel. Crop and resize are
done here, on uint8; the normalisation is compiled into the network (`vinn.encoders.encoder`), with
`normalise` as its reference.
"""

from __future__ import annotations

from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vinn.demos.frames import check_image
from vinn.errors import ImageError

INTERPOLATIONS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
MAX_IMAGE_SIDE_PX = 8192

Channels = tuple[float, float, float]


class Crop(BaseModel):
    """A rectangle of the camera's image, in pixels; left and top inclusive, the others not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    left_px: int = Field(ge=0)
    top_px: int = Field(ge=0)
    right_px: int = Field(gt=0)
    bottom_px: int = Field(gt=0)

    @model_validator(mode="after")
    def _not_empty(self) -> Crop:
        if self.right_px <= self.left_px or self.bottom_px <= self.top_px:
            raise ValueError("right_px must exceed left_px and bottom_px must exceed top_px")
        return self


class Preprocessing(BaseModel):
    """Part of an encoder's identity: embeddings made with another one cannot be compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: Crop | None = None
    width_px: Annotated[int, Field(gt=0, le=2048)] = 224
    height_px: Annotated[int, Field(gt=0, le=2048)] = 224
    interpolation: Literal["area", "linear", "cubic"] = "area"
    mean: Channels = (0.0, 0.0, 0.0)
    """Per channel R, G, B, on the scale 0..255."""
    std: Channels = (1.0, 1.0, 1.0)
    """Per channel R, G, B, on the scale 0..255; none is zero."""

    @model_validator(mode="after")
    def _std_not_zero(self) -> Preprocessing:
        if min(self.std) <= 0:
            raise ValueError(f"std must be > 0 in each channel, got {self.std}")
        return self

    def resize(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop and resize (H, W, 3) uint8 RGB to (height_px, width_px, 3) uint8.

        Raises:
            ImageError: wrong shape or type, smaller than the crop, or implausibly large.
        """
        check_image(image_rgb)
        height, width = image_rgb.shape[:2]
        if max(height, width) > MAX_IMAGE_SIDE_PX:
            raise ImageError(f"image: {width}x{height} exceeds {MAX_IMAGE_SIDE_PX} pixels a side")
        if self.crop is not None:
            crop = self.crop
            if crop.right_px > width or crop.bottom_px > height:
                raise ImageError(
                    f"image: {width}x{height} is smaller than the encoder's crop up to "
                    f"({crop.right_px}, {crop.bottom_px})"
                )
            image_rgb = image_rgb[crop.top_px : crop.bottom_px, crop.left_px : crop.right_px]
        if image_rgb.shape[:2] == (self.height_px, self.width_px):
            return np.ascontiguousarray(image_rgb)
        resized = cv2.resize(
            image_rgb,
            (self.width_px, self.height_px),
            interpolation=INTERPOLATIONS[self.interpolation],
        )
        return np.asarray(resized, dtype=np.uint8)

    def normalise(self, resized_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(height_px, width_px, 3) uint8 to the network's input (1, 3, height_px, width_px)."""
        scaled = (resized_rgb.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(
            self.std, np.float32
        )
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])
