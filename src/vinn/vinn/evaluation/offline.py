"""Offline error: what a policy says to the frames of demonstrations it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.errors import ArtefactMismatchError
from vinn.policies.memory import ActionMemory
from vinn.policies.parametric import ParametricPolicy
from vinn.policies.types import Policy, Prediction, demonstrated_step
from vinn.policies.vinn import VinnPolicy


@dataclass(frozen=True)
class OfflineError:
    """Errors over N frames.

    Attributes:
        mse: mean squared error of the raw translation over frames and the three components, in the
            dataset's action scale squared (paper, table III, where actions have length 1).
        gripper_accuracy: share of frames whose likeliest gripper state is the demonstrated one.
        frames: N.
    """

    mse: float
    gripper_accuracy: float
    frames: int


def offline_error(
    policy: Policy, dataset: Dataset, embeddings: NDArray[np.float32] | None = None
) -> OfflineError:
    """Ask a policy about every frame of a dataset, demonstration after demonstration.

    Args:
        policy: reset before each demonstration.
        dataset: held-out demonstrations with actions.
        embeddings: (N, D) of the dataset's frames by the policy's own encoder, if at hand.

    Raises:
        ArtefactMismatchError: policy and dataset have different action scales.
    """
    if policy.action_scale is not dataset.action_scale:
        raise ArtefactMismatchError(
            f"the policy's actions are {policy.action_scale.value}, those of {dataset.root} are "
            f"{dataset.action_scale.value}"
        )
    truth = ActionMemory.of(dataset)
    predictions = predict_dataset(policy, dataset, embeddings)
    camera_delta = np.array([prediction.camera_delta for prediction in predictions])
    states = np.array([prediction.gripper_probabilities.argmax() for prediction in predictions])
    return OfflineError(
        mse=float(((camera_delta - truth.camera_delta) ** 2).mean()),
        gripper_accuracy=float((states == truth.gripper).mean()),
        frames=len(truth),
    )


def predict_dataset(
    policy: Policy, dataset: Dataset, embeddings: NDArray[np.float32] | None = None
) -> list[Prediction]:
    """A policy's predictions for every frame, in order; each demonstrated action is then taken."""
    predictions: list[Prediction] = []
    grasp = policy.grasp if isinstance(policy, VinnPolicy) else None
    unit_m = 1.0 if grasp is None else grasp.unit_m
    for demonstration in dataset.demonstrations:
        policy.reset()
        for path, delta, state in zip(
            demonstration.frame_paths,
            demonstration.camera_delta,
            demonstration.gripper,
            strict=True,
        ):
            if (
                embeddings is not None
                and grasp is None
                and isinstance(policy, VinnPolicy | ParametricPolicy)
            ):
                prediction = policy.predict_embedding(embeddings[len(predictions)])
            else:
                prediction = policy.predict(read_frame(path))
            policy.advance(prediction, demonstrated_step(unit_m * delta, int(state)))
            predictions.append(prediction)
    return predictions
