"""What a policy is and what it says. Every method of the paper answers to `Policy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.robot.types import ReasonCode, StepResult


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
class GraspPoint:
    """Where the gripper will close, as a policy believes."""

    camera_delta: NDArray[np.float64]
    """(3,) from the point between the finger tips to it, in the camera's optical axes and the
    policy's action scale."""
    std: NDArray[np.float64]
    """(3,) standard deviations, same axes and unit."""
    image_uv: NDArray[np.float64]
    """(2,) where it is in the image, 0..1 from the left and from the top; NaN: outside."""
    image_std: NDArray[np.float64] = field(default_factory=lambda: np.full(2, np.nan))
    """(2,) standard deviations there, in the same unit; NaN: not known, a cross alone is drawn."""


@dataclass(frozen=True)
class TakenStep:
    """What the robot really did on a prediction. NaN: not known (an old recording, say)."""

    camera_delta_m: NDArray[np.float64]
    """(3,) measured translation of the point between the finger tips, in the camera's optical axes
    as configured, before the step [m]. Of a demonstrated frame: its action, in its own scale."""
    sent_camera_delta_m: NDArray[np.float64]
    """(3,) what was commanded after clip and limits, same axes [m]."""
    gripper_closed: bool
    """State of the gripper's state machine after the step."""
    gripper_aperture_m: float
    """Between the finger tips, measured after the step."""
    missed: bool = False
    """In this step the gripper, which had closed on nothing, was opened again."""


def taken_step(result: StepResult) -> TakenStep:
    """What a policy is told of a step that was sent."""
    return TakenStep(
        camera_delta_m=result.measured_camera_delta_m,
        sent_camera_delta_m=result.sent_camera_delta_m,
        gripper_closed=result.gripper_closed,
        gripper_aperture_m=result.gripper_aperture_m,
        missed=result.missed,
    )


def demonstrated_step(camera_delta: NDArray[np.floating], gripper_state: int) -> TakenStep:
    """The step that a demonstration took from one of its frames.

    Args:
        camera_delta: (3,) the frame's action.
        gripper_state: 0 open .. 3 closed; almost closed counts as closed.
    """
    delta = np.asarray(camera_delta, dtype=np.float64)
    return TakenStep(delta, delta, gripper_closed=gripper_state >= 2, gripper_aperture_m=np.nan)


def unknown_step(gripper_closed: bool = False) -> TakenStep:
    """A step that was taken, and nothing is known of how far it went."""
    return TakenStep(np.full(3, np.nan), np.full(3, np.nan), gripper_closed, np.nan)


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
        grasp_point: where the gripper will close; None where a policy does not say.
        refusal: why this is not to be acted on, one of `vinn.robot.types.REFUSALS`: a policy that
            needs a place to grasp and sees none says NO_GRASP_POINT. None: it may be.
        trace: what the policy's own `advance` needs of it; never leaves the process.
    """

    camera_delta: NDArray[np.float64]
    gripper_value: float
    gripper_probabilities: NDArray[np.float64]
    action_scale: ActionScale
    neighbors: tuple[Neighbor, ...] = ()
    novelty: float = float("nan")
    latency_s: Mapping[str, float] = field(default_factory=dict)
    grasp_point: GraspPoint | None = None
    refusal: ReasonCode | None = None
    trace: object = field(default=None, repr=False, compare=False)


class Policy(Protocol):
    """Image in, translation and gripper out. Not thread-safe; one episode at a time.

    What a policy remembers of an episode changes in `reset` and `advance` and nowhere else. A
    camera gives many frames per step of the robot: however many were predicted from, the policy
    goes on by the steps that were taken.
    """

    @property
    def action_scale(self) -> ActionScale:
        """The scale of `Prediction.camera_delta`."""

    def reset(self) -> None:
        """Forget the running episode: nothing was done yet."""

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """Predict the next step from one wrist frame, (H, W, 3) uint8 RGB.

        Remembers nothing: the same image twice gives the same answer.

        Raises:
            vinn.errors.ImageError: wrong shape or type.
        """

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        """Remember a step that the robot took.

        Args:
            prediction: of this policy, made since the last step; the one that was executed.
            step: what the robot did on it.
        """


@runtime_checkable
class SeededPolicy(Protocol):
    """A policy that draws numbers: so that a trial can be repeated alone, whatever ran before."""

    def seed_episode(self, seed: int) -> None:
        """Draw the numbers of the episode of a seed from now on."""


def begin_episode(policy: Policy, seed: int) -> None:
    """`Policy.reset`, and what a policy draws in the episode follows from its seed."""
    if isinstance(policy, SeededPolicy):
        policy.seed_episode(seed)
    policy.reset()
