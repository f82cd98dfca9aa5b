"""The network of difference-aware retrieval learns what averaging its neighbours cannot."""

from __future__ import annotations

import numpy as np
from vinn.demos.types import ActionScale
from vinn.learning.darp_training import DarpConfig, train_darp
from vinn.policies.darp import head_inputs, known_actions
from vinn.policies.memory import ActionMemory
from vinn.retrieval.flat import FlatNeighbors

DEMONSTRATIONS, LENGTH, DIMENSION, K = 20, 12, 6, 5


def world(seed: int) -> tuple[np.ndarray, ActionMemory]:
    """Actions are linear in the features; the gripper closes where the first one is large."""
    rng = np.random.default_rng(seed)
    count = DEMONSTRATIONS * LENGTH
    features = (10 + 3 * rng.uniform(-1, 1, (count, DIMENSION))).astype(np.float32)
    mixing = np.random.default_rng(99).normal(0, 0.01, (DIMENSION, 3))
    memory = ActionMemory(
        camera_delta=((features - 10) @ mixing).astype(np.float32),
        gripper=np.where(features[:, 0] > 11, 3, 0).astype(np.int8),
        demonstration_ids=np.repeat(np.arange(DEMONSTRATIONS), LENGTH),
        frames=np.tile(np.arange(LENGTH, dtype=np.int32), DEMONSTRATIONS),
        names=tuple(f"d{i}" for i in range(DEMONSTRATIONS)),
        action_scale=ActionScale.METRIC,
    )
    return features, memory


def test_adjusted_actions_beat_averaged_ones_on_new_frames() -> None:
    features, memory = world(0)
    queries, truth = world(1)
    length = 0.03
    config = DarpConfig(k=K, hidden=(64,), steps=600, learning_rate=3e-3)
    head = train_darp(features, memory, length, config)
    actions = known_actions(memory.camera_delta, memory.gripper, length)
    neighbors = FlatNeighbors(features)
    averaged, adjusted, closed = [], [], []
    for query in queries:
        _, rows = neighbors.search(query, K)
        averaged.append(memory.camera_delta[rows].mean(axis=0))
        answer = head(head_inputs(query, features[rows], actions[rows]))
        adjusted.append(length * answer[:, :3].mean(axis=0))
        closed.append(answer[:, 3:].mean(axis=0).argmax() == 3)

    def error(predicted: list[np.ndarray]) -> float:
        return float(((np.array(predicted) - truth.camera_delta) ** 2).mean())

    assert error(adjusted) < 0.3 * error(averaged)
    assert (np.array(closed) == (truth.gripper == 3)).mean() > 0.9
