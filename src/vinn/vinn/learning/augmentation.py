"""Random views of frames for self-supervision and for end-to-end cloning.

Augmentation happens on images in [0, 1]; normalisation comes once, after it. There is no
horizontal flip, because the actions that go with a frame have a side.
"""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from vinn.encoders.preprocessing import Preprocessing
from vinn.learning.config import AugmentationConfig


class RandomView:
    """One random view of a frame, normalised for a network.

    Args:
        config: probabilities and strengths.
        preprocessing: size and normalisation of the network's input.
        double_normalisation: the quirk of the paper's code: frames are normalised before the
            augmentation too, which clips them to [0, 1] wherever it jitters.
    """

    def __init__(
        self,
        config: AugmentationConfig,
        preprocessing: Preprocessing,
        double_normalisation: bool = False,
    ) -> None:
        self._mean = torch.tensor(preprocessing.mean).view(3, 1, 1) / 255.0
        self._std = torch.tensor(preprocessing.std).view(3, 1, 1) / 255.0
        self._double_normalisation = double_normalisation
        jitter = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
        blur = v2.GaussianBlur(3, config.blur_sigma_px)
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop(
                    (preprocessing.height_px, preprocessing.width_px),
                    scale=(config.crop_scale_min, 1.0),
                    antialias=True,
                ),
                v2.RandomApply([jitter], p=config.jitter_probability),
                v2.RandomGrayscale(p=config.gray_probability),
                v2.RandomApply([blur], p=config.blur_probability),
            ]
        )

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """(3, H, W) uint8 RGB to a (3, height, width) float32 network input."""
        scaled = image.float() / 255.0
        if not self._double_normalisation:
            return self._normalise(self._transform(scaled))
        view = self._transform(self._normalise(scaled))
        # A shift of hue divides by the largest channel, which normalised frames may have at 0.
        return self._normalise(torch.nan_to_num(view, nan=0.0, posinf=1.0, neginf=0.0))

    def _normalise(self, image: torch.Tensor) -> torch.Tensor:
        return (image - self._mean) / self._std
