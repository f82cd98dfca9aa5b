"""What a nearest-neighbour policy is put together from, and what passes between its calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.encoder import Encoder
from vinn.errors import ArtefactMismatchError, ConfigError
from vinn.policies.features import Features
from vinn.policies.grasp.filter import GraspBelief
from vinn.policies.grasp.point import KEY_SIZE, GraspMemory
from vinn.policies.memory import ActionMemory
from vinn.policies.types import Prediction
from vinn.retrieval.neighbors import Neighbors


@dataclass(frozen=True)
class StepTrace:
    """What `advance` needs of a prediction.

    Attributes:
        embedding: (D,) of its image.
        belief: of the grasp point, after its view; None without one.
    """

    embedding: NDArray[np.float32]
    belief: GraspBelief | None

    @classmethod
    def of(cls, prediction: Prediction, with_belief: bool) -> StepTrace:
        """The trace of a prediction of a policy with or without grasp points.

        Raises:
            ArtefactMismatchError: it is another policy's.
        """
        trace = prediction.trace
        if not isinstance(trace, cls) or (trace.belief is not None) != with_belief:
            raise ArtefactMismatchError("the prediction of the step is not this policy's")
        return trace


def check_parts(
    encoder: Encoder,
    neighbors: Neighbors,
    memory: ActionMemory,
    features: Features,
    grasp: GraspMemory | None,
    k: int,
    bandwidth: float,
) -> None:
    """Refuse parts that do not belong together.

    Raises:
        ConfigError: k is not in 1..N or bandwidth is not positive.
        ArtefactMismatchError: encoder, embeddings and memory differ; both values are named.
    """
    if neighbors.count != len(memory):
        raise ArtefactMismatchError(f"{neighbors.count} embeddings, {len(memory)} actions")
    dimension = features.dimension(encoder.dimension) + (KEY_SIZE if grasp is not None else 0)
    if neighbors.dimension != dimension:
        raise ArtefactMismatchError(
            f"encoder {encoder.name} gives dimension {dimension}, the stored "
            f"embeddings have {neighbors.dimension}"
        )
    if not 1 <= k <= len(memory):
        raise ConfigError(
            f"k: {k} neighbours of {len(memory)} demonstration frames; allowed: 1..{len(memory)}"
        )
    if not (bandwidth > 0 and np.isfinite(bandwidth)):
        raise ConfigError(f"bandwidth: {bandwidth}; allowed: finite and > 0")
