"""How well each demonstration agrees with its neighbours: which to look at first, or to leave out.

Every frame is predicted from the frames of the other demonstrations, as when k is chosen
(`vinn.policies.artefacts.selection`), and its error is held against what the demonstration did. Per
frame, in the selection's units, where 1 is the error of always saying the mean:

    disagreement = |translation - predicted|^2 / var(translation)
                   + |gripper - predicted|^2 / var(gripper)

A demonstration that did something else where others saw the same has a large mean. So has one of a
place that no other shows: its nearest frames are then far away, and `distance` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError
from vinn.policies.memory import ActionMemory
from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations

DEFAULT_K = 10


@dataclass(frozen=True)
class Agreement:
    """How one demonstration agrees with the others.

    Attributes:
        name: of the demonstration.
        frames: in it.
        disagreement: mean over its frames; 1: as bad as the mean of all.
        worst_frame: its frame of the largest disagreement.
        distance: median distance of its frames to their nearest ones, over the median of all.
    """

    name: str
    frames: int
    disagreement: float
    worst_frame: int
    distance: float


def rank_demonstrations(
    embeddings: NDArray[np.float32], memory: ActionMemory, k: int = DEFAULT_K
) -> list[Agreement]:
    """All demonstrations, the one that agrees least first.

    Args:
        embeddings: (N, D) of the frames of `memory`.
        memory: their actions.
        k: neighbours; weighed by softmin with the median distance to the nearest as bandwidth.

    Raises:
        ConfigError: k is out of range.
        DatasetError: fewer than 2 demonstrations.
    """
    ids = memory.demonstration_ids
    most = len(ids) - int(np.bincount(ids).max())
    if not 1 <= k <= max(most, 1):
        raise ConfigError(f"k = {k}; allowed: 1 to {most}, the frames of other demonstrations")
    distances, rows = neighbors_in_other_demonstrations(embeddings, ids, k)
    median = max(float(np.median(distances[:, 0])), np.finfo(float).tiny)
    kernel = np.exp(-(distances - distances[:, :1]) / median)
    weights = kernel / kernel.sum(axis=1, keepdims=True)
    targets = np.column_stack([memory.camera_delta, memory.gripper]).astype(np.float64)
    predicted = np.einsum("nk,nkd->nd", weights, targets[rows])
    squared = (targets - predicted) ** 2
    variance = ((targets - targets.mean(axis=0)) ** 2).mean(axis=0)
    tiny = np.finfo(float).tiny
    wrong = squared[:, :3].mean(axis=1) / max(float(variance[:3].mean()), tiny)
    wrong += squared[:, 3] / max(float(variance[3]), tiny)
    found = []
    for number in np.unique(ids):
        own = np.flatnonzero(ids == number)
        found.append(
            Agreement(
                memory.names[number],
                len(own),
                float(wrong[own].mean()),
                int(memory.frames[own[wrong[own].argmax()]]),
                float(np.median(distances[own, 0])) / median,
            )
        )
    return sorted(found, key=lambda each: (-each.disagreement, each.name))
