"""A prior over how far the task has got: neighbours should agree with each other in time.

A demonstration frame's progress p is 0 at the first frame and 1 at the last. The policy believes it
is at progress b and expects to be at b + s, s being the demonstrations' usual step of progress. A
neighbour's weight is multiplied by

    prior(p) = floor + (1 - floor) exp(-(p - b - s)^2 / (2 width^2))

The floor lets a clear view overrule a wrong belief. When a step was taken, the new belief is the
weighted mean progress of the neighbours it was taken on (`advance`). Before the first step of a
rollout there is no prior; `reset` forgets the belief.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.policies.memory import ActionMemory
from vinn.policies.types import Neighbor


class ProgressSettings(BaseModel):
    """How strongly neighbours have to agree with the belief."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(default=0.15, gt=0, le=1)
    """Of the bell, in progress (the whole demonstration is 1)."""
    floor: float = Field(default=0.1, gt=0, le=1)
    """What a neighbour far from the belief keeps of its weight; 1 switches the prior off."""


class ProgressPrior:
    """The belief of one rollout."""

    def __init__(self, memory: ActionMemory, settings: ProgressSettings) -> None:
        self.settings = settings
        self._progress = memory.progress
        lengths = np.bincount(memory.demonstration_ids)
        self._usual_step = float(1 / max(np.median(lengths[lengths > 0]) - 1, 1))
        self.belief: float | None = None
        """Progress believed of the last step that was taken; None before the first."""

    def reset(self) -> None:
        """Forget the rollout."""
        self.belief = None

    def reweigh(self, weights: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weights (k,) of neighbours in these rows, with the prior; they sum to 1."""
        if self.belief is None:
            return weights
        off = (self._progress[rows] - self.belief - self._usual_step) / self.settings.width
        floor = self.settings.floor
        weights = weights * (floor + (1 - floor) * np.exp(-0.5 * off**2))
        return weights / weights.sum()

    def advance(self, neighbors: Sequence[Neighbor]) -> None:
        """A step was taken on what these neighbours (with their weights) said."""
        rows = [neighbor.index for neighbor in neighbors]
        weights = np.array([neighbor.weight for neighbor in neighbors])
        self.belief = float(weights @ self._progress[rows])
