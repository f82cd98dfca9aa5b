"""Difference-aware retrieval: a small network adjusts each neighbour's action to the query.

The rival of the comparison, after "DARP" (arXiv 2606.09758). For each of the k nearest frames

    a_i' = f(z_i, a_i, z - z_i)          z_i its features, a_i its action, z the query's
    action = 1/k sum_i a_i'

f is trained in `vinn.learning.darp_training` on neighbours in other demonstrations, and runs here
without torch. Translation and gripper leave f together: 3 values in units of `length`, 4 logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactMismatchError, ConfigError
from vinn.policies.memory import GRIPPER_STATES
from vinn.policies.mlp import Mlp
from vinn.policies.vinn import VinnPolicy

ACTION_SIZE = 3 + GRIPPER_STATES


class DarpPolicy(VinnPolicy):
    """Nearest neighbours whose actions a network adjusts."""

    def __init__(
        self,
        *args: Any,
        features_of_rows: NDArray[np.float32],
        head: Mlp,
        length: float,
        **settings: Any,
    ) -> None:
        """Bind a `VinnPolicy`'s parts and the network.

        Args:
            args: as of `VinnPolicy`.
            features_of_rows: (N, D) what the search looks among.
            head: f, from 2 D + 7 values to 7.
            length: what f calls 1, in the memory's action scale.
            settings: as of `VinnPolicy`.

        Raises:
            ConfigError, ArtefactMismatchError: as `VinnPolicy`, or f does not fit.
        """
        super().__init__(*args, **settings)
        inputs = 2 * self.neighbors.dimension + ACTION_SIZE
        if (head.inputs, head.outputs) != (inputs, ACTION_SIZE):
            raise ArtefactMismatchError(
                f"head 'adjust' maps {head.inputs} to {head.outputs} values, wanted {inputs} to "
                f"{ACTION_SIZE}"
            )
        if not (length > 0 and np.isfinite(length)):
            raise ConfigError(f"length: {length}; allowed: finite and > 0")
        self._stored, self._head, self._length = features_of_rows, head, length

    def combine(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The mean of the adjusted actions; every neighbour counts alike."""
        actions = known_actions(
            self.memory.camera_delta[rows], self.memory.gripper[rows], self._length
        )
        adjusted = self._head(head_inputs(query, self._stored[rows], actions)).astype(np.float64)
        logits = adjusted[:, 3:] - adjusted[:, 3:].max(axis=1, keepdims=True)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return self._length * adjusted[:, :3].mean(axis=0), probabilities.mean(axis=0)


def known_actions(
    camera_delta: NDArray[np.float32], gripper: NDArray[np.int8], length: float
) -> NDArray[np.float32]:
    """Actions as f takes them: (N, 7), translation over `length` and one value per state."""
    states = np.eye(GRIPPER_STATES, dtype=np.float32)[gripper]
    return np.concatenate([camera_delta / np.float32(length), states], axis=-1)


def head_inputs(
    query: NDArray[np.float32], stored: NDArray[np.float32], actions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What f takes for one query (D,) and its k neighbours: (k, 2 D + 7)."""
    return np.concatenate([stored, actions, query - stored], axis=-1)
