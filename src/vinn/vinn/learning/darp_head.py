"""The network of difference-aware retrieval, trained where a preset asks for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.policies.memory import ActionMemory
from vinn.policies.mlp import Mlp


def train_darp_head(
    features: NDArray[np.float32], memory: ActionMemory, k: int, seed: int = 0
) -> tuple[Mlp, float]:
    """A `TrainHead`; needs torch, which is imported here and not before."""
    from vinn.learning.darp_training import DarpConfig, train_darp
    from vinn.learning.policy_training import action_length

    length = action_length(memory.camera_delta, "bc")
    return train_darp(features, memory, length, DarpConfig(k=k, seed=seed)), length
