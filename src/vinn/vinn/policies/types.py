"""What a policy is and what it says. Every method of the paper answers to `Policy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale


@dataclass(frozen=True)
class Neighbor:
    """One demonstration frame that spoke for an action."""

    demonstration: str
    frame: int
    """Index of the frame in its demonstration."""
    index: int
    """Row in the policy artefact (thumbnails, embeddings, actions)."""
    distance: float
    """Euclidean distance in the embedding space (paper, section III-B)."""
    weight: float
    """Softmin weight; the weights of a prediction sum to 1."""
    camera_delta: NDArray[np.float32]
    """(3,) the neighbour's own action, in the policy's action scale."""
    gripper_state: int


@dataclass(frozen=True)
class Prediction:
    """What the policy wants; nothing here has been limited or filtered.

    Attributes:
        camera_delta: (3,) float64, translation in the camera's optical frame (x right, y down,
            z forward), in `action_scale`.
        gripper_value: weighted mean of the neighbours' states, 0 (open) .. 3 (closed).
        gripper_probabilities: (4,) float64, sums to 1.
        neighbors: nearest first; empty for parametric policies.
        novelty: distance of the nearest neighbour over the artefact's calibrated limit: above 1
            the view is unlike every demonstration. NaN where a policy cannot tell.
        latency_s: seconds per stage, e.g. {"preprocess": .., "encode": .., "retrieve": ..}.
    """

    camera_delta: NDArray[np.float64]
    gripper_value: float
    gripper_probabilities: NDArray[np.float64]
    action_scale: ActionScale
    neighbors: tuple[Neighbor, ...] = ()
    novelty: float = float("nan")
    latency_s: Mapping[str, float] = field(default_factory=dict)


class Policy(Protocol):
    """Image in, translation and gripper out. Not thread-safe; one episode at a time."""

    @property
    def action_scale(self) -> ActionScale:
        """The scale of `Prediction.camera_delta`."""

    def reset(self) -> None:
        """Forget the running episode (only policies with memory, such as open loop, care)."""

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """Predict the next step from one wrist frame, (H, W, 3) uint8 RGB.

        Raises:
            vinn.errors.ImageError: wrong shape or type.
        """
