"""Backbones under training: built from the same table that encoders are exported from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vinn.demos.files import atomic_file
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactError, ConfigError
from vinn.learning.config import BackboneConfig
from vinn.learning.export import ARCHITECTURES, export_network, load_weights, read_weights


@dataclass(frozen=True)
class Backbone:
    """A network under training.

    Attributes:
        name: of the architecture.
        features: images (N, 3, H, W) to pooled features (N, D); shares weights with `network`.
        network: whose state dict is what weight files hold.
        classifier: prefix of the weights that are not trained and not saved.
        preprocessing: the network's input.
        dimension: D.
        origin: of the weights it started from.
    """

    name: str
    features: torch.nn.Module
    network: torch.nn.Module
    classifier: str
    preprocessing: Preprocessing
    dimension: int
    origin: str

    def save(self, path: Path) -> None:
        """Write the weights as a state dict that `backbone.weights` and `--weights` read."""
        state = {
            key: value
            for key, value in self.network.state_dict().items()
            if not key.startswith(self.classifier)
        }
        with atomic_file(path, ArtefactError) as file:
            torch.save(state, file)

    def export(
        self, out_dir: Path, provenance: dict[str, Any], batch_statistics_at_test: bool = False
    ) -> Path:
        """Write an encoder artefact; leaves the backbone in eval mode.

        With `batch_statistics_at_test` the backbone's BatchNorms are replaced for good: save first.
        """
        if batch_statistics_at_test:
            use_batch_statistics(self.features)
        self.features.eval()
        return export_network(self.features, self.name, self.preprocessing, out_dir, provenance)


def build_backbone(config: BackboneConfig) -> Backbone:
    """A network with the wanted weights and input size.

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
            origin = "random"
        else:
            state, origin = (
                architecture.default_weights()
                if config.weights == "imagenet"
                else read_weights(Path(config.weights))
            )
            load_weights(network, state, origin, architecture.classifier)
    except ImportError as cause:
        raise ConfigError(
            f"backbone {config.name} needs the module '{cause.name}': pip install 'vinn[train]'"
        ) from cause
    for name, parameter in network.named_parameters():
        # DDP waits for a gradient of every parameter that wants one; the classifier gets none.
        parameter.requires_grad_(not name.startswith(architecture.classifier))
    features = architecture.pooled_features(network).eval()
    with torch.no_grad():
        dimension = features(torch.zeros(1, 3, config.image_px, config.image_px)).shape[1]
    preprocessing = architecture.preprocessing.model_copy(
        update={"width_px": config.image_px, "height_px": config.image_px}
    )
    # Convolutions on a CPU take two thirds of the time with channels last; results are the same.
    features.to(memory_format=torch.channels_last)
    return Backbone(
        config.name,
        features.train(),
        network,
        architecture.classifier,
        preprocessing,
        dimension,
        origin,
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
