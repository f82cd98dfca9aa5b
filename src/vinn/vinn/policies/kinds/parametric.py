"""What the kinds with trained heads have in common: settings, a file of heads, an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vinn.demos.files import atomic_directory
from vinn.demos.store import Dataset
from vinn.encoders.encoder import Encoder, load_encoder
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactError, ConfigError
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact
from vinn.policies.artefacts.encoder_copy import FOLDER, check_encoder, copy_encoder
from vinn.policies.artefacts.frames import write_frames
from vinn.policies.artefacts.manifest import PolicyManifest
from vinn.policies.kinds.kind import BuildRequest, PolicyKind
from vinn.policies.mlp import Mlp, load_heads, save_heads

HEADS_FILE = "heads.npz"


class ParametricSettings(BaseModel):
    """What a trained policy needs to know besides its heads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder_name: str
    encoder_hash: str
    preprocessing: Preprocessing
    dimension: int = Field(gt=0)
    length: float = Field(gt=0, allow_inf_nan=False)
    """What the translation head calls 1, in the manifest's `action_scale`."""
    samples: int = Field(default=256, ge=2)
    """Kind "ibc": samples of the derivative-free optimiser."""
    iterations: int = Field(default=3, ge=1)
    """Kind "ibc": its rounds."""


class ParametricKind(PolicyKind[ParametricSettings]):
    """A kind whose answer is computed by trained heads, not from the demonstrations' actions."""

    settings = ParametricSettings
    section = "parametric"
    heads: tuple[str, ...]
    """Names of its heads."""

    def files(self, settings: ParametricSettings) -> tuple[str, ...]:
        """See `PolicyKind.files`."""
        return (HEADS_FILE,)

    def check(
        self, directory: Path, manifest: PolicyManifest, settings: ParametricSettings
    ) -> None:
        """The encoder must be the one it was trained on."""
        check_encoder(
            directory,
            settings.encoder_hash,
            settings.dimension,
            settings.preprocessing,
            settings.encoder_name,
        )

    def parts(
        self, artefact: PolicyArtefact[ParametricSettings], options: LoadOptions
    ) -> tuple[ParametricSettings, Encoder, Mapping[str, Mlp]]:
        """Settings, encoder and heads.

        Raises:
            ArtefactError: one is missing or malformed.
        """
        encoder = load_encoder(artefact.directory / FOLDER, options.threads, options.precision)
        return artefact.settings, encoder, load_heads(artefact.directory / HEADS_FILE, self.heads)

    def describe(self, artefact: PolicyArtefact[ParametricSettings]) -> list[tuple[str, str]]:
        """See `PolicyKind.describe`."""
        settings = artefact.settings
        encoder = f"{settings.encoder_name}, {settings.dimension}-d, {settings.encoder_hash[:16]}"
        return [("heads", ", ".join(self.heads)), ("encoder", encoder)]

    def build(self, request: BuildRequest) -> Path:
        """Refused: heads are trained, with settings of their own."""
        raise ConfigError(f"kind '{self.name}': is trained; use 'vinn train policy'")

    def build_trained(
        self,
        dataset: Dataset,
        encoder_dir: Path,
        heads: Mapping[str, Mlp],
        out_dir: Path,
        length: float,
        samples: int = 256,
        iterations: int = 3,
        seed: int = 0,
        name: str | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Path:
        """Build an artefact of trained heads.

        Args:
            dataset: what they were trained on.
            encoder_dir: encoder artefact whose embeddings the heads take; is copied.
            heads: trained heads by name; `self.heads` says which.
            out_dir: is made, and must not exist.
            length: what the translation head calls 1, in the dataset's action scale.
            samples: of the derivative-free optimiser (kind "ibc").
            iterations: of the same.
            seed: of the same.
            name: of the policy; the name of `out_dir` by default.
            provenance: kept in the manifest.

        Raises:
            DatasetError: no actions, or a truncated frame.
            ArtefactError: bad encoder, or `out_dir` exists. Nothing is left half-written.
            ArtefactMismatchError: a head does not fit the encoder.
        """
        dataset, out_dir = dataset.with_actions(), Path(out_dir)
        with atomic_directory(out_dir, ArtefactError) as folder:
            encoder = copy_encoder(encoder_dir, folder)
            save_heads(folder / HEADS_FILE, heads)
            memory = write_frames(folder, dataset)
            settings = ParametricSettings(
                encoder_name=encoder.name,
                encoder_hash=encoder.hash,
                preprocessing=encoder.preprocessing,
                dimension=encoder.dimension,
                length=length,
                samples=samples,
                iterations=iterations,
            )
            self.seal(
                folder, dataset, memory, settings, name or out_dir.name, provenance or {}, seed
            )
            open_artefact(folder).policy()  # raises where the heads do not fit
        return out_dir
