"""Kind "bc": behaviour cloning, one forward pass of trained heads."""

from __future__ import annotations

from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact
from vinn.policies.bc import BehaviourCloningPolicy
from vinn.policies.kinds.parametric import ParametricKind, ParametricSettings
from vinn.policies.types import Policy


class BehaviourCloningKind(ParametricKind):
    """Made by `vinn train policy`."""

    name = "bc"
    title = "behaviour cloning; made by 'vinn train policy'"
    heads = ("action", "gripper")

    def load(self, artefact: PolicyArtefact[ParametricSettings], options: LoadOptions) -> Policy:
        """See `PolicyKind.load`."""
        settings, encoder, heads = self.parts(artefact, options)
        return BehaviourCloningPolicy(
            encoder,
            heads["action"],
            heads["gripper"],
            settings.length,
            artefact.manifest.action_scale,
        )


KIND = BehaviourCloningKind()
