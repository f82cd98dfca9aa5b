"""Kind "darp": nearest frames whose actions a trained network adjusts; the rival."""

from __future__ import annotations

from pathlib import Path

from vinn.errors import ConfigError
from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact
from vinn.policies.darp import DarpPolicy
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.nearest import NearestKind, VinnSettings, nearest
from vinn.policies.kinds.vinn import build_nearest
from vinn.policies.mlp import load_heads
from vinn.policies.types import Policy

HEADS_FILE = "heads.npz"
TRAINER = "head"
"""In `BuildRequest.trainers`: features, memory and k to a network and what it calls 1."""


class DarpKind(NearestKind):
    """See `vinn.policies.darp`."""

    name = "darp"
    title = "nearest neighbours whose actions a network adjusts (needs torch to build)"

    def files(self, settings: VinnSettings) -> tuple[str, ...]:
        """See `PolicyKind.files`."""
        embeddings, *others = super().files(settings)
        return (embeddings, HEADS_FILE, *others)

    def load(self, artefact: PolicyArtefact[VinnSettings], options: LoadOptions) -> Policy:
        """See `PolicyKind.load`."""
        rows = nearest(artefact)
        return DarpPolicy(
            **rows.parts(options),
            features_of_rows=rows.embeddings,
            head=load_heads(artefact.directory / HEADS_FILE, ("adjust",))["adjust"],
            length=artefact.settings.head_length or 0.0,
        )

    def build(self, request: BuildRequest) -> Path:
        """Build as a preset says, and train the network."""
        if TRAINER not in request.trainers:
            raise ConfigError(f"kind '{self.name}': needs a trainer '{TRAINER}'; none was given")
        return build_nearest(self.name, request, request.trainers[TRAINER])


KIND = DarpKind()
