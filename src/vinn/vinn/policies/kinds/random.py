"""Kind "random": directions drawn at random, whatever the camera sees."""

from __future__ import annotations

from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact
from vinn.policies.kinds.kind import NoSettings, PolicyKind
from vinn.policies.random import RandomPolicy
from vinn.policies.types import Policy


class RandomKind(PolicyKind[NoSettings]):
    """The floor of every error table."""

    name = "random"
    title = "random directions, seeded; a control"
    settings = NoSettings
    section = None

    def load(self, artefact: PolicyArtefact[NoSettings], options: LoadOptions) -> Policy:
        """See `PolicyKind.load`."""
        return RandomPolicy(artefact.memory, artefact.manifest.seed)


KIND = RandomKind()
