"""Settings of training, read from YAML with command-line overrides; unknown keys are refused.

The defaults are the paper's settings (sections III-A and IV-C; what the paper does not say is taken
from the facts of its published code, docs/learning.md). Smaller settings are files in
`config/train`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vinn.demos.files import atomic_file
from vinn.errors import ConfigError
from vinn.reading.config_file import read_mapping, validated
from vinn.reading.documents import parse_yaml

ConfigT = TypeVar("ConfigT", bound=BaseModel)

Probability = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of every group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AugmentationConfig(Section):
    """Random views of a frame. There is no horizontal flip: actions have a side."""

    crop_scale_min: float = Field(default=0.6, gt=0, le=1)
    """Smallest share of the image's area that a random resized crop keeps."""
    jitter_probability: Probability = 0.3
    brightness: float = Field(default=0.8, ge=0)
    contrast: float = Field(default=0.8, ge=0)
    saturation: float = Field(default=0.8, ge=0)
    hue: float = Field(default=0.2, ge=0, le=0.5)
    gray_probability: Probability = 0.2
    blur_probability: Probability = 0.2
    blur_sigma_px: tuple[float, float] = (1.0, 2.0)
    """Range of the standard deviation of the 3x3 Gaussian."""


class BackboneConfig(Section):
    """The network under an encoder."""

    name: str = "resnet50"
    """One of `vinn.learning.export.ARCHITECTURES`."""
    weights: str = "imagenet"
    """`imagenet`, `random`, or a state dict file, e.g. `backbone.pt` of an earlier run."""
    image_px: int = Field(default=224, ge=32, le=1024)
    """Side of the square network input."""


class QuirksConfig(Section):
    """Oddities of the paper's published code, off unless asked for; each can be measured."""

    double_normalisation: bool = False
    """Frames are normalised, then augmented (clipping to [0, 1]), then normalised again."""
    batch_statistics_at_test: bool = False
    """BatchNorm normalises each query with the statistics of that one image."""


class OptimizerConfig(Section):
    """Adam, or SGD with momentum; the learning rate is constant after its warm-up."""

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(default=3e-4, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD; Adam ignores it."""
    warmup_steps: int = Field(default=0, ge=0)
    """Self-supervision: steps over which the learning rate grows to its value from near 0."""
    weight_decay: float = Field(default=0.0, ge=0)


class RunConfig(Section):
    """How long and on what to train. One process on a CPU and DDP on many nodes are the same."""

    epochs: int = Field(default=100, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps after which training ends early; None: by epochs alone."""
    batch_size: int = Field(default=168, ge=2)
    """Per process."""
    seed: int = Field(default=0, ge=0)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1)
    """Processes per node; above 1 they train by DDP."""
    nodes: int = Field(default=1, ge=1)
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    """auto: bf16-mixed on a CPU that multiplies in bfloat16, else 32-true (result.json)."""
    workers: int = Field(default=0, ge=0)
    """Processes that load and augment frames; 0: the training process does it."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of torch, per process; 0: one per core, or OMP_NUM_THREADS where it is set."""
    checkpoint_every_steps: int = Field(default=100, ge=1)


class SelfSupervisionConfig(Section):
    """Settings of `vinn train byol|simclr|vicreg`."""

    method: Literal["byol", "simclr", "vicreg"] = "byol"
    backbone: BackboneConfig = BackboneConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()
    quirks: QuirksConfig = QuirksConfig()
    frozen_statistics: bool = False
    """The backbone's BatchNorms normalise by the statistics they came with, not by the batch's."""
    projector_hidden: int = Field(default=4096, ge=1)
    projector_out: int = Field(default=256, ge=1)
    moving_average: float = Field(default=0.99, ge=0, lt=1)
    """BYOL: share of the target network kept in each step."""
    temperature: float = Field(default=0.5, gt=0)
    """SimCLR: of the NT-Xent loss."""
    invariance_weight: float = Field(default=25.0, ge=0)
    """VICReg."""
    variance_weight: float = Field(default=25.0, ge=0)
    """VICReg."""
    covariance_weight: float = Field(default=1.0, ge=0)
    """VICReg."""
    collapse_limit: Probability = 0.02
    """Embeddings have collapsed when their relative spread (`vinn.learning.collapse`) is below."""


class StoppingConfig(Section):
    """When a cloned policy has learned enough: demonstrations that are left out say so.

    The weights that were best on them are kept.
    """

    left_out: float = Field(default=0.15, gt=0, lt=1)
    """Share of the demonstrations that no step learns from."""
    every_passes: int = Field(default=1, ge=1)
    """Their loss is measured after so many passes over the others."""
    patience: int = Field(default=10, ge=1)
    """Measurements in a row without a new least loss that end the training."""


class CloningConfig(Section):
    """Settings of `vinn train bc|bc-rep|ibc`."""

    method: Literal["bc", "bc-rep", "ibc"] = "bc"
    encoder: str | None = None
    """Encoder artefact whose frozen embeddings are cloned on; None trains `backbone` as well."""
    backbone: BackboneConfig = BackboneConfig()
    """Trained end to end where `encoder` is None."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """Of end-to-end training; embeddings of frozen encoders are not augmented."""
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-3)
    run: RunConfig = RunConfig(batch_size=64, precision="32-true")
    stopping: StoppingConfig | None = None
    """None: `run` alone says how long; else at most so long."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (2048, 1024)
    """Widths of the hidden layers of the MLP on the embedding."""
    gripper_weight: float = Field(default=0.1, ge=0)
    """Weight of the gripper's cross-entropy beside the translation's loss."""
    counter_examples: int = Field(default=256, ge=1)
    """Implicit BC: uniform actions an expert's action is told from."""
    test_samples: int = Field(default=256, ge=2)
    """Implicit BC: samples of the derivative-free optimiser at test."""
    test_iterations: int = Field(default=3, ge=1)
    """Implicit BC: rounds of the derivative-free optimiser."""

    @model_validator(mode="after")
    def _encoder_fits_method(self) -> CloningConfig:
        if self.method == "bc" and self.encoder is not None:
            raise ValueError("method bc trains its own encoder: leave `encoder` out, or use bc-rep")
        if self.method == "bc-rep" and self.encoder is None:
            raise ValueError("method bc-rep needs `encoder`, an encoder artefact")
        return self


class GraspPointConfig(Section):
    """Settings of `vinn train grasp-point`; about a minute of two cores for 71 demonstrations."""

    method: Literal["grasp-point"] = "grasp-point"
    copies: int = Field(default=3, ge=0, le=50)
    """Made-up views of each frame."""
    mirrored: bool = True
    """Learn from mirrored views as well: for a camera without roll on a symmetrical gripper."""
    width: int = Field(default=40, ge=8, le=256)
    """Channels of the head."""
    passes: int = Field(default=5, ge=1, le=1000)
    """Over all views..."""
    least_steps: int = Field(default=250, ge=1)
    """... and more of them where they are so few that it would be fewer steps."""
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    seed: int = Field(default=0, ge=0)


METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "grasp-point": {},
    "byol": {},
    "simclr": {
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 1e-6,
        },
        "projector_hidden": 2048,
        "projector_out": 128,
    },
    "vicreg": {
        "optimizer": {"name": "adam", "learning_rate": 1e-4, "weight_decay": 1e-6},
        "projector_hidden": 8192,
        "projector_out": 8192,
    },
    "bc": {"run": {"epochs": 100, "batch_size": 64, "precision": "32-true"}},
    "bc-rep": {"run": {"epochs": 8000, "batch_size": 256, "precision": "32-true"}},
    "ibc": {
        "run": {"epochs": 1000, "max_steps": 10000, "batch_size": 64, "precision": "32-true"},
        "hidden": [256, 256],
    },
}
"""What differs between methods from the defaults of their section's class."""


def self_supervision_config(
    method: str,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> SelfSupervisionConfig:
    """Settings of a self-supervised method: its defaults, a file, overrides, then changes.

    Raises:
        ConfigError: names the file or override, the key, and what is allowed.
    """
    return _config(SelfSupervisionConfig, method, file, overrides, changes or {})


def cloning_config(
    method: str,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> CloningConfig:
    """Settings of a cloning method: its defaults, a file, overrides, then changes.

    Raises:
        ConfigError: names the file or override, the key, and what is allowed.
    """
    return _config(CloningConfig, method, file, overrides, changes or {})


def grasp_point_config(file: Path | None = None, overrides: Sequence[str] = ()) -> GraspPointConfig:
    """Settings of the detector of grasp points: its defaults, a file, then overrides.

    Raises:
        ConfigError: names the file or override, the key, and what is allowed.
    """
    return _config(GraspPointConfig, "grasp-point", file, overrides, {})


def _config(
    model: type[ConfigT],
    method: str,
    file: Path | None,
    overrides: Sequence[str],
    changes: Mapping[str, Any],
) -> ConfigT:
    if method not in METHOD_DEFAULTS:
        raise ConfigError(f"method '{method}' is unknown; known: {', '.join(METHOD_DEFAULTS)}")
    values: dict[str, Any] = {}
    if file is not None:
        values = read_mapping(file)
        if values.get("method", method) != method:
            raise ConfigError(f"{file}: method is '{values['method']}', wanted '{method}'")
    for override in overrides:
        _merge(values, _parse_override(override))
    _merge(values, changes)
    merged: dict[str, Any] = {"method": method}
    _merge(merged, METHOD_DEFAULTS[method])
    _merge(merged, values)
    return validated(model, merged, str(file) if file else "settings")


def write_config(config: BaseModel, path: Path) -> None:
    """Write settings as YAML that reads back to the same settings."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    with atomic_file(path, ConfigError) as file:
        file.write(text.encode())


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"override '{override}': expected KEY=VALUE, e.g. run.epochs=10")
    value: Any = parse_yaml(text, f"override '{override}'", ConfigError)
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            existing = into.get(key)
            into[key] = dict(existing) if isinstance(existing, Mapping) else {}
            _merge(into[key], value)
        else:
            into[key] = value
