"""Kind "open_loop": the demonstrations' mean action at each step, whatever the camera sees."""

from __future__ import annotations

from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact
from vinn.policies.kinds.kind import NoSettings, PolicyKind
from vinn.policies.open_loop import OpenLoopPolicy
from vinn.policies.types import Policy


class OpenLoopKind(PolicyKind[NoSettings]):
    """The control of the paper (section IV-B)."""

    name = "open_loop"
    title = "mean action of the demonstrations at each step; a control"
    settings = NoSettings
    section = None

    def load(self, artefact: PolicyArtefact[NoSettings], options: LoadOptions) -> Policy:
        """See `PolicyKind.load`."""
        return OpenLoopPolicy(artefact.memory)


KIND = OpenLoopKind()
