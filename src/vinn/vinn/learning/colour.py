"""Adjustments of colour as torchvision makes them, with a factor of its own for each image.

Images are (N, 3, H, W) float RGB in [0, 1], factors (N, 1, 1, 1). Everything but a hue's brightest
channel is clipped to [0, 1], as there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Adjustment = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey."""


def gray(images: torch.Tensor) -> torch.Tensor:
    """One channel (N, 1, H, W)."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)


def brightness(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Scaled: 0 is black, 1 leaves the image."""
    return (images * factor).clamp_(0, 1)


def contrast(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Away from the mean of grey: 0 is that grey, 1 leaves the image."""
    return _blend(images, gray(images).mean(dim=(1, 2, 3), keepdim=True), factor)


def saturation(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Away from grey: 0 is grey, 1 leaves the image."""
    return _blend(images, gray(images), factor)


def hue(images: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turned in HSV by a share of the circle; 0 leaves the image."""
    red, green, blue = images.unbind(1)
    value, lowest = images.amax(dim=1), images.amin(dim=1)
    chroma = value - lowest
    # Grey has no hue, and none of its channels moves: any divisor but 0 will do.
    divisor = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    sixth = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sixth = sixth + 6 * turn.squeeze(1)
    channels = []
    # Smith 1978: how far a channel stays below the brightest one, by its place on the circle.
    for place in (5, 3, 1):
        angle = (sixth + place).remainder_(6)
        below = torch.minimum(angle, 4 - angle).clamp_(0, 1)
        channels.append(torch.where(below == 0, value, (value - chroma * below).clamp_(0, 1)))
    return torch.stack(channels, dim=1)


def _blend(images: torch.Tensor, other: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return (factor * images + (1 - factor) * other).clamp_(0, 1)


ADJUSTMENTS: tuple[tuple[str, Adjustment], ...] = (
    ("brightness_factor", brightness),
    ("contrast_factor", contrast),
    ("saturation_factor", saturation),
    ("hue_factor", hue),
)
"""In the order in which `torchvision.transforms.v2.ColorJitter` counts them."""
