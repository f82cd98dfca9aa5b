"""What a kind of policy is: its settings, the files it keeps, how it is built and loaded.

A kind is one file with a subclass of `PolicyKind` and its instance, `KIND`. The least that it has
to say is `name`, `settings` and `load`; docs/extend.md shows one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vinn.demos.files import atomic_directory, sha256_file
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_for_datasets
from vinn.errors import ArtefactError, ConfigError
from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact, SettingsT
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.artefacts.encoder_copy import check_encoder, copy_encoder
from vinn.policies.artefacts.frames import write_frames
from vinn.policies.artefacts.manifest import SHARED_FILES, PolicyManifest, write_manifest
from vinn.policies.augmentation import ORIGINAL
from vinn.policies.memory import ActionMemory
from vinn.policies.types import Policy
from vinn.reading.config_file import validated

OnStage = Callable[[str, int, int], None]
"""Called with (what is done, pieces done, pieces in all)."""


class NoSettings(BaseModel):
    """Of a kind that has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class BuildRequest:
    """What shall be built of which demonstrations.

    Attributes:
        dataset: demonstrations without actions are left out.
        out_dir: is made, and must not exist.
        encoder_dir: encoder artefact, for kinds that look at images; is copied.
        options: settings of the kind by name; what is left out keeps its default.
        name: of the policy; the name of `out_dir` by default.
        seed: of kinds that draw numbers.
        threads: CPU threads of the encoder.
        provenance: kept in the manifest.
        on_stage: told what is done and how far it is.
        on_choice: told what the kind chose on its way, e.g. a `Selection`.
        trainers: what needs torch, by the name under which a kind asks for it.
    """

    dataset: Dataset
    out_dir: Path
    encoder_dir: Path | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    name: str | None = None
    seed: int = 0
    threads: int = 1
    provenance: Mapping[str, Any] = field(default_factory=dict)
    on_stage: OnStage | None = None
    on_choice: Callable[[object], None] | None = None
    trainers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def encoder(self, kind: str) -> Path:
        """The encoder artefact.

        Raises:
            ConfigError: none was given.
        """
        if self.encoder_dir is None:
            raise ConfigError(f"--encoder: missing; kind '{kind}' needs an encoder artefact")
        return self.encoder_dir

    def stage(self, what: str) -> Callable[[int, int], None]:
        """Progress of one part of the work."""
        return lambda done, total: self.on_stage(what, done, total) if self.on_stage else None


class PolicyKind(ABC, Generic[SettingsT]):
    """One method: everything that is its own.

    Attributes:
        name: as in `vinn policy build --kind NAME` and in the manifest.
        title: one line, for `vinn policy kinds`.
        settings: what the manifest keeps for it, and what `--set KEY=VALUE` sets.
        section: the manifest's field for them; None where there are none.
        needs_encoder: whether it looks at images.
        artefact: what an opened artefact of it is.
    """

    name: str
    title: str = ""
    settings: type[SettingsT]
    section: str | None = "settings"
    needs_encoder: bool = False
    artefact: type[PolicyArtefact[SettingsT]] = PolicyArtefact

    @abstractmethod
    def load(self, artefact: PolicyArtefact[SettingsT], options: LoadOptions) -> Policy:
        """The policy of an artefact, ready to predict.

        Args:
            artefact: `.settings` is an instance of `settings`.
            options: how it shall run.

        Raises:
            ArtefactError, ArtefactMismatchError, ConfigError: parts do not belong together.
        """

    def files(self, settings: SettingsT) -> tuple[str, ...]:
        """The data files that it keeps besides those of every kind."""
        return ()

    def write(
        self,
        folder: Path,
        memory: ActionMemory,
        embeddings: NDArray[np.float32] | None,
        settings: SettingsT,
    ) -> SettingsT:
        """Write `files` when an artefact is built.

        Args:
            folder: of the artefact.
            memory: actions of the N frames.
            embeddings: (N, D) of the same frames; None unless `needs_encoder`.
            settings: as asked for.

        Returns:
            The settings to keep.
        """
        return settings

    def views(self, settings: SettingsT) -> tuple[str, ...]:
        """Of each demonstration; see `vinn.policies.augmentation`."""
        return (ORIGINAL,)

    def check(self, directory: Path, manifest: PolicyManifest, settings: SettingsT) -> None:
        """Refuse parts that do not belong together; before the rows are read.

        Raises:
            ArtefactError, ArtefactMismatchError, ConfigError: both values are named.
        """
        if not self.needs_encoder:
            return
        if manifest.encoder_hash is None:
            raise ArtefactError(f"{directory / 'manifest.json'}: encoder_hash: missing")
        check_encoder(directory, manifest.encoder_hash)

    def check_rows(self, artefact: PolicyArtefact[SettingsT]) -> None:
        """The same, once the rows are read."""

    def describe(self, artefact: PolicyArtefact[SettingsT]) -> list[tuple[str, str]]:
        """What `vinn policy info` says of it: names and values."""
        return [(key.replace("_", " "), str(value)) for key, value in artefact.settings]

    def build(self, request: BuildRequest) -> Path:
        """Build an artefact; returns its folder.

        Raises:
            DatasetError: no actions, or a truncated frame.
            ConfigError: an unknown option, or one out of range.
            ArtefactError: bad encoder, or the folder exists. Nothing is left half-written.
        """
        dataset, out_dir = request.dataset.with_actions(), Path(request.out_dir)
        settings = self.chosen(request.options)
        encoder_dir = request.encoder(self.name) if self.needs_encoder else None
        with atomic_directory(out_dir, ArtefactError) as folder:
            embeddings = encoder_hash = None
            if encoder_dir is not None:
                encoder_hash = copy_encoder(encoder_dir, folder).hash
                encoder = load_for_datasets(encoder_dir, request.threads)
                embeddings = embed_dataset(
                    dataset, encoder, request.stage("embedding frames")
                ).embeddings
            memory = write_frames(folder, dataset)
            settings = self.write(folder, memory, embeddings, settings)
            manifest = self.seal(
                folder,
                dataset,
                memory,
                settings,
                request.name or out_dir.name,
                request.provenance,
                request.seed,
                encoder_hash,
            )
            # Parts that do not fit are refused before anybody sees the folder.
            spans = np.zeros((len(memory), 2), np.int64)
            artefact = self.artefact(folder, manifest, settings, memory, spans, self.load)
            self.load(artefact, LoadOptions())
        return out_dir

    def chosen(self, options: Mapping[str, object]) -> SettingsT:
        """Options as settings.

        Raises:
            ConfigError: an unknown one, or one out of range.
        """
        known = self.settings.model_fields
        for key, value in options.items():
            if key not in known:
                raise ConfigError(
                    f"policy build: {key} = {value}: no setting of kind '{self.name}'; allowed: "
                    f"{', '.join(known) or 'none'}"
                )
        return validated(self.settings, dict(options), "policy build")

    def seal(
        self,
        folder: Path,
        dataset: Dataset,
        memory: ActionMemory,
        settings: SettingsT,
        name: str,
        provenance: Mapping[str, Any],
        seed: int = 0,
        encoder_hash: str | None = None,
    ) -> PolicyManifest:
        """Write the manifest and the list of hashes: what goes to a folder last."""
        kept: dict[str, Any] = (
            {} if self.section is None else {self.section: settings.model_dump(mode="json")}
        )
        files = (*SHARED_FILES, *self.files(settings))
        manifest = PolicyManifest(
            kind=self.name,
            name=name,
            action_scale=memory.action_scale,
            demonstration_count=len(dataset),
            frame_count=len(memory),
            dataset_hash=dataset.hash,
            seed=seed,
            encoder_hash=encoder_hash,
            files={file: sha256_file(folder / file) for file in files},
            provenance=dict(provenance),
            **kept,
        )
        write_manifest(folder, manifest)
        return manifest
