"""Behaviour cloning at run time: one forward pass (paper, section IV-B)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.encoders.encoder import Encoder
from vinn.policies.mlp import Mlp
from vinn.policies.parametric import ParametricPolicy, check_head


class BehaviourCloningPolicy(ParametricPolicy):
    """End to end (its own encoder) or on representations (a frozen one): the same at run time."""

    def __init__(
        self,
        encoder: Encoder,
        action: Mlp,
        gripper: Mlp,
        length: float,
        action_scale: ActionScale,
    ) -> None:
        """Bind the parts; `action` maps an embedding (D,) to a translation (3,).

        Raises:
            ArtefactMismatchError: a head does not fit the encoder.
        """
        super().__init__(encoder, gripper, length, action_scale)
        check_head("action", action, encoder.dimension, 3)
        self.action = action

    def direction(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """See `ParametricPolicy.direction`."""
        return self.action(embedding).astype(np.float64)
