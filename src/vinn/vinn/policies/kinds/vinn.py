"""Kind "vinn": the paper's nearest neighbours, and what goes beyond them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vinn.errors import ConfigError
from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact
from vinn.policies.artefacts.build_preset import build_from_preset
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.nearest import NearestKind, VinnSettings, nearest
from vinn.policies.novelty import NoveltyMeasure
from vinn.policies.preset import PolicyPreset, load_preset
from vinn.policies.types import Policy
from vinn.policies.vinn import VinnPolicy
from vinn.reading.config_file import validated


class NearestOptions(BaseModel):
    """What `vinn policy build` may say of a kind that looks for nearest frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = "vinn"
    """Name, or a YAML file."""
    k: int | None = None
    """Overrides the preset, as do `bandwidth`, `select` and `novelty`."""
    bandwidth: float | None = None
    select: bool = False
    novelty: NoveltyMeasure | None = None
    gripper_weight: float = 1.0
    """Of the criterion of `select`."""
    half: bool = False
    """Keep embeddings in half precision."""
    detector: Path | None = None
    """Of grasp points, where the preset asks for them; trained if left out."""

    def as_preset(self) -> PolicyPreset:
        """The preset with what is overridden.

        Raises:
            ConfigError: unknown, out of range, or they contradict each other.
        """
        given = {"k": self.k, "bandwidth": self.bandwidth, "novelty": self.novelty}
        changes: dict[str, object] = {key: v for key, v in given.items() if v is not None}
        if self.k is not None or self.bandwidth is not None:
            if self.select:
                raise ConfigError(
                    "--select: chooses k and bandwidth; leave --k and --bandwidth out"
                )
            changes["select"] = False
        elif self.select:
            changes["select"] = True
        preset = load_preset(self.preset)
        return validated(PolicyPreset, {**preset.model_dump(), **changes}, "policy build")


class VinnKind(NearestKind):
    """Nearest frames, softmin weights, weighted mean."""

    name = "vinn"
    title = "nearest neighbours (the paper), with every preset"

    def load(self, artefact: PolicyArtefact[VinnSettings], options: LoadOptions) -> Policy:
        """See `PolicyKind.load`."""
        return VinnPolicy(**nearest(artefact).parts(options))

    def build(self, request: BuildRequest) -> Path:
        """Build as a preset says; see `build_from_preset`."""
        return build_nearest(self.name, request)


def build_nearest(
    kind: str, request: BuildRequest, train_head: Callable[..., Any] | None = None
) -> Path:
    """Build an artefact of `kind` with the options of `NearestOptions`.

    Raises:
        ConfigError: no encoder, or an option that is unknown or out of range.
        DatasetError, ArtefactError, ArtefactMismatchError: as `build_from_preset`.
    """
    options = validated(NearestOptions, dict(request.options), "policy build")
    preset = options.as_preset()
    encoder_dir = request.encoder(kind)
    frames = request.dataset.with_actions().frame_count * len(preset.views)
    if not preset.select and preset.k > frames:
        raise ConfigError(
            f"k: {preset.k} neighbours of {frames} demonstration frames in "
            f"{request.dataset.root}; allowed: 1..{frames}"
        )
    return build_from_preset(
        request.dataset,
        encoder_dir,
        request.out_dir,
        preset,
        gripper_weight=options.gripper_weight,
        threads=request.threads,
        on_stage=request.on_stage,
        on_selection=request.on_choice,
        name=request.name,
        provenance={**request.provenance, "preset": options.preset},
        train_head=train_head,
        half=options.half,
        detector_dir=options.detector,
        train_detector=request.trainers.get("detector"),
        kind=kind,
    )


KIND = VinnKind()
