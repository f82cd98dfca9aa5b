"""Kind "ibc": implicit behaviour cloning, the action of least energy."""

from __future__ import annotations

from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact
from vinn.policies.ibc import ImplicitPolicy
from vinn.policies.kinds.parametric import ParametricKind, ParametricSettings
from vinn.policies.types import Policy


class ImplicitKind(ParametricKind):
    """Made by `vinn train policy`."""

    name = "ibc"
    title = "implicit behaviour cloning; made by 'vinn train policy'"
    heads = ("energy", "gripper")

    def load(self, artefact: PolicyArtefact[ParametricSettings], options: LoadOptions) -> Policy:
        """See `PolicyKind.load`."""
        settings, encoder, heads = self.parts(artefact, options)
        return ImplicitPolicy(
            encoder,
            heads["energy"],
            heads["gripper"],
            settings.length,
            artefact.manifest.action_scale,
            settings.samples,
            settings.iterations,
            artefact.manifest.seed,
        )


KIND = ImplicitKind()
