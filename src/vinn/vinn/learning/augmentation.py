"""Random views of frames for self-supervision and for end-to-end cloning, a batch at a time.

Each frame of a batch draws its own parameters, as torchvision's transforms draw them for one image
(`RandomResizedCrop`, `RandomApply` of `ColorJitter`, `RandomGrayscale`, `RandomApply` of
`GaussianBlur`); the pixels of all are then computed together. Augmentation happens on images in
[0, 1]; normalisation comes once, after it. There is no horizontal flip, because the actions that go
with a frame have a side.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import interpolate, pad
from torchvision.transforms import v2

from vinn.encoders.preprocessing import Preprocessing
from vinn.learning.colour import ADJUSTMENTS, gray
from vinn.learning.config import AugmentationConfig


class RandomViews:
    """One random view of each frame, normalised for a network.

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
        self._config = config
        self._mean = torch.tensor(preprocessing.mean).view(3, 1, 1) / 255.0
        self._std = torch.tensor(preprocessing.std).view(3, 1, 1) / 255.0
        self._double_normalisation = double_normalisation
        self._size = (preprocessing.height_px, preprocessing.width_px)
        self._crop = v2.RandomResizedCrop(self._size, scale=(config.crop_scale_min, 1.0))
        self._jitter = v2.ColorJitter(
            config.brightness, config.contrast, config.saturation, config.hue
        )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 RGB to (N, 3, height, width) float32 network inputs."""
        views = self._cropped(images).div_(255.0)
        if self._double_normalisation:
            views = self._normalised(views)
        config = self._config
        for probability, change in (
            (config.jitter_probability, self._jittered),
            (config.gray_probability, _as_gray),
            (config.blur_probability, self._blurred),
        ):
            (rows,) = torch.nonzero(torch.rand(len(views)) < probability, as_tuple=True)
            if len(rows):
                views[rows] = change(views[rows])
        return self._normalised(views).contiguous(memory_format=torch.channels_last)

    def plain(self, images: torch.Tensor) -> torch.Tensor:
        """The same for frames (N, 3, height, width) as they are."""
        return self._normalised(images / 255.0).contiguous(memory_format=torch.channels_last)

    def _cropped(self, images: torch.Tensor) -> torch.Tensor:
        # Resized as uint8, where torch has kernels for interleaved colours.
        crops = torch.empty(
            (len(images), 3, *self._size), dtype=torch.uint8, memory_format=torch.channels_last
        )
        for image, crop in zip(images, crops, strict=True):
            place: dict[str, Any] = self._crop.make_params([image])
            top, left = place["top"], place["left"]
            part = image[:, top : top + place["height"], left : left + place["width"]]
            crop.copy_(interpolate(part[None], self._size, mode="bilinear", antialias=True)[0])
        return crops.to(torch.float32, memory_format=torch.contiguous_format)

    def _jittered(self, images: torch.Tensor) -> torch.Tensor:
        draws: list[dict[str, Any]] = [self._jitter.make_params([]) for _ in images]
        orders = torch.stack([draw["fn_idx"] for draw in draws])
        for turn in range(len(ADJUSTMENTS)):
            for index, (name, adjust) in enumerate(ADJUSTMENTS):
                # An adjustment of strength 0 has no factor and is left out.
                (rows,) = torch.nonzero(orders[:, turn] == index, as_tuple=True)
                if len(rows) and draws[0][name] is not None:
                    factors = torch.tensor([draws[row][name] for row in rows.tolist()])
                    images[rows] = adjust(images[rows], factors.view(-1, 1, 1, 1))
        return images

    def _blurred(self, images: torch.Tensor) -> torch.Tensor:
        low, high = self._config.blur_sigma_px
        sigma_px = torch.empty(len(images), 1, 1, 1).uniform_(low, high)
        side = torch.exp(-0.5 / sigma_px**2)
        side, centre = side / (1 + 2 * side), 1 / (1 + 2 * side)
        wide = pad(images, (1, 1, 1, 1), mode="reflect")
        rows = centre * wide[..., 1:-1] + side * (wide[..., :-2] + wide[..., 2:])
        return centre * rows[..., 1:-1, :] + side * (rows[..., :-2, :] + rows[..., 2:, :])

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        return images.sub_(self._mean).div_(self._std)


def _as_gray(images: torch.Tensor) -> torch.Tensor:
    return gray(images).expand_as(images)
