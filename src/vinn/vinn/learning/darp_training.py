"""Training the network of difference-aware retrieval (`vinn.policies.darp`).

Each demonstration frame is a query; its neighbours come from other demonstrations, as at an unseen
start. The loss is that of the averaged answer: squared error of the translation plus cross entropy
of the gripper's state. Features are standardised inside the first layer, so that the network takes
them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import nll_loss

from vinn.learning.cloning import mlp
from vinn.learning.policy_training import to_mlp
from vinn.policies.darp import ACTION_SIZE, known_actions
from vinn.policies.memory import ActionMemory
from vinn.policies.mlp import Mlp
from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations


@dataclass(frozen=True)
class DarpConfig:
    """Budget and size."""

    k: int = 10
    hidden: tuple[int, ...] = (256, 128)
    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    seed: int = 0


def train_darp(
    features: NDArray[np.float32],
    memory: ActionMemory,
    length: float,
    config: DarpConfig | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Mlp:
    """Train f for features (N, D) of a memory's frames.

    Args:
        features: what neighbours are searched among.
        memory: their actions; all views of a demonstration are left out together.
        length: what f calls 1, in the memory's action scale.
        config: budget and size.
        on_progress: called with (steps done, steps in all).

    Raises:
        DatasetError: fewer than 2 demonstrations.
        ConfigError: k is too large.
    """
    config = config or DarpConfig()
    torch.manual_seed(config.seed)
    rng = np.random.default_rng([config.seed, 0xDA2])
    _, rows = neighbors_in_other_demonstrations(features, memory.origin_ids, config.k)
    points = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    mean = points.mean(0)
    spread = float(((points - mean) ** 2).mean().sqrt().clamp_min(1e-6))
    points = (points - mean) / spread
    actions = torch.from_numpy(known_actions(memory.camera_delta, memory.gripper, length))
    network = mlp((2 * features.shape[1] + ACTION_SIZE, *config.hidden, ACTION_SIZE))
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    for step in range(config.steps):
        batch = rng.integers(len(points), size=config.batch_size)
        near = torch.from_numpy(rows[batch])
        stored, query = points[near], points[torch.from_numpy(batch)][:, None]
        answer = network(torch.cat([stored, actions[near], query - stored], dim=2))
        wanted = actions[torch.from_numpy(batch)]
        translation = ((answer[..., :3].mean(1) - wanted[:, :3]) ** 2).sum(1).mean()
        states = answer[..., 3:].softmax(2).mean(1).clamp_min(1e-9).log()
        loss = translation + nll_loss(states, wanted[:, 3:].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if on_progress is not None:
            on_progress(step + 1, config.steps)
    return _standardised(to_mlp(network), mean.numpy(), spread)


def _standardised(head: Mlp, mean: NDArray[np.float32], spread: float) -> Mlp:
    """The same network, taking features that are not standardised."""
    dimension = len(mean)
    weight, bias = head.weights[0].copy(), head.biases[0].copy()
    weight[:, :dimension] /= spread
    weight[:, dimension + ACTION_SIZE :] /= spread  # a difference has no mean
    bias -= weight[:, :dimension] @ mean
    return Mlp((weight, *head.weights[1:]), (bias, *head.biases[1:]))
