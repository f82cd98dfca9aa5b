"""Backbones under training: built from the same table that encoders are exported from."""

from __future__ import annotations

from pathlib import Path

import torch

from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ConfigError
from vinn.learning.config import BackboneConfig
from vinn.learning.export import ARCHITECTURES, load_weights, read_weights


def build_backbone(config: BackboneConfig) -> torch.nn.Module:
    """A network from images (N, 3, H, W) to pooled features (N, D), with the wanted weights.

    Raises:
        ConfigError: unknown name, or the packages it needs are not installed.
        ArtefactError: the weights cannot be had, read, or do not fit.
    """
    if config.name not in ARCHITECTURES:
        raise ConfigError(
            f"backbone.name: '{config.name}' is unknown; known: {', '.join(ARCHITECTURES)}"
        )
    architecture = ARCHITECTURES[config.name]
    try:
        network = architecture.build()
        if config.weights == "random":
            return network
        if config.weights == "imagenet":
            state, origin = architecture.default_weights()
        else:
            state, origin = read_weights(Path(config.weights))
    except ImportError as cause:
        raise ConfigError(
            f"backbone {config.name} needs the module '{cause.name}': pip install 'vinn[train]'"
        ) from cause
    load_weights(network, state, origin)
    return network


def backbone_dimension(config: BackboneConfig) -> int:
    """D of the pooled features."""
    return ARCHITECTURES[config.name].dimension


def backbone_preprocessing(config: BackboneConfig) -> Preprocessing:
    """The architecture's preprocessing at the wanted size."""
    return ARCHITECTURES[config.name].preprocessing.model_copy(
        update={"width_px": config.image_px, "height_px": config.image_px}
    )


class PerImageNorm(torch.nn.Module):
    """BatchNorm in training mode on a batch of one: the statistics of that image alone."""

    def __init__(self, norm: torch.nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight = norm.weight
        self.bias = norm.bias
        self.eps = norm.eps

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same shape, each image and channel normalised on its own."""
        mean = features.mean(dim=(2, 3), keepdim=True)
        variance = ((features - mean) ** 2).mean(dim=(2, 3), keepdim=True)
        scaled = (features - mean) / torch.sqrt(variance + self.eps)
        return scaled * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def use_batch_statistics(network: torch.nn.Module) -> None:
    """Replace every BatchNorm by `PerImageNorm`: the quirk `batch_statistics_at_test`."""
    for name, child in network.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            setattr(network, name, PerImageNorm(child))
        else:
            use_batch_statistics(child)
