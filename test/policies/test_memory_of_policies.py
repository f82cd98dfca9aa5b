"""A policy goes on by the steps that were taken, however many frames it was shown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tiny_encoder import DIMENSION, square_image, write_square_demos, write_tiny_encoder
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.encoders.encoder import Encoder, load_encoder
from vinn.errors import ArtefactMismatchError
from vinn.policies.bc import BehaviourCloningPolicy
from vinn.policies.darp import ACTION_SIZE, DarpPolicy
from vinn.policies.features import Features
from vinn.policies.ibc import ImplicitPolicy
from vinn.policies.kinds.registry import POLICY_KINDS
from vinn.policies.memory import GRIPPER_STATES, ActionMemory
from vinn.policies.mlp import Mlp
from vinn.policies.open_loop import OpenLoopPolicy
from vinn.policies.progress import ProgressSettings
from vinn.policies.random import RandomPolicy
from vinn.policies.types import Policy, Prediction, TakenStep
from vinn.policies.vinn import VinnPolicy
from vinn.retrieval.flat import FlatNeighbors

STEPS = 7

Parts = tuple[Encoder, Dataset]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    root = tmp_path_factory.mktemp("parts")
    write_square_demos(root / "demos", 5)
    return load_encoder(write_tiny_encoder(root / "encoder")), Dataset.open(root / "demos")


def some_head(inputs: int, outputs: int) -> Mlp:
    rng = np.random.default_rng([inputs, outputs])
    weight = rng.normal(scale=0.1, size=(outputs, inputs)).astype(np.float32)
    return Mlp((weight,), (np.zeros(outputs, np.float32),))


def nearest(parts: Parts, context: int, progress: bool, adjusted: bool = False) -> VinnPolicy:
    encoder, dataset = parts
    memory, features = ActionMemory.of(dataset), Features(context)
    embeddings = encoder.embed([_read(dataset, row) for row in range(len(memory))])
    stored = features.of_demonstrations(embeddings, memory.demonstration_ids)
    prior = ProgressSettings(width=0.1, floor=0.05) if progress else None
    search = FlatNeighbors(stored)
    if not adjusted:
        return VinnPolicy(encoder, search, memory, 4, 0.5, features=features, progress=prior)
    head = some_head(2 * stored.shape[1] + ACTION_SIZE, ACTION_SIZE)
    return DarpPolicy(
        encoder,
        search,
        memory,
        4,
        0.5,
        features=features,
        progress=prior,
        features_of_rows=stored,
        head=head,
        length=0.02,
    )


def _read(dataset: Dataset, row: int) -> np.ndarray:
    from vinn.demos.frames import read_frame

    paths = [path for d in dataset.demonstrations for path in d.frame_paths]
    return read_frame(paths[row])


def cloned(parts: Parts) -> BehaviourCloningPolicy:
    head, gripper = some_head(DIMENSION, 3), some_head(DIMENSION, GRIPPER_STATES)
    return BehaviourCloningPolicy(parts[0], head, gripper, 0.02, ActionScale.METRIC)


def implicit(parts: Parts) -> ImplicitPolicy:
    energy, gripper = some_head(DIMENSION + 3, 1), some_head(DIMENSION, GRIPPER_STATES)
    return ImplicitPolicy(parts[0], energy, gripper, 0.02, ActionScale.METRIC)


POLICIES: dict[str, tuple[str, Callable[[Parts], Policy]]] = {
    "vinn": ("vinn", lambda parts: nearest(parts, 1, False)),
    "context": ("vinn", lambda parts: nearest(parts, 3, False)),
    "progress": ("vinn", lambda parts: nearest(parts, 1, True)),
    "context and progress": ("vinn", lambda parts: nearest(parts, 2, True)),
    "darp": ("darp", lambda parts: nearest(parts, 2, True, adjusted=True)),
    "open loop": ("open_loop", lambda parts: OpenLoopPolicy(ActionMemory.of(parts[1]))),
    "random": ("random", lambda parts: RandomPolicy(ActionMemory.of(parts[1]), 3)),
    "bc": ("bc", cloned),
    "ibc": ("ibc", implicit),
}
WITH_MEMORY = set(POLICIES) - {"vinn", "bc", "ibc"}


def test_every_kind_is_here() -> None:
    assert {kind for kind, _ in POLICIES.values()} == set(POLICY_KINDS.own)


def episode(policy: Policy, images: list[np.ndarray], frames: int, seed: int = 0) -> np.ndarray:
    """Actions of an episode in which every step is decided on the last of some frames."""
    rng = np.random.default_rng(seed)
    policy.reset()
    actions = []
    for image in images:
        for _ in range(frames - 1):  # what the camera shows meanwhile
            policy.predict(square_image(*rng.uniform(size=2)))
        prediction = policy.predict(image)
        actions.append(_action(prediction))
        again = policy.predict(image)
        np.testing.assert_array_equal(_action(again), actions[-1])
        policy.advance(prediction, some_step(rng, prediction))
    return np.array(actions)


def some_step(rng: np.random.Generator, prediction: Prediction) -> TakenStep:
    sent = np.asarray(prediction.camera_delta, np.float64)
    closed = prediction.gripper_value > 1.5
    return TakenStep(0.9 * sent, sent, closed, float(rng.uniform(0, 0.06)))


def _action(prediction: Prediction) -> np.ndarray:
    return np.array([*prediction.camera_delta, *prediction.gripper_probabilities])


@pytest.mark.parametrize("name", list(POLICIES))
def test_fifteen_frames_per_step_are_one(parts: Parts, name: str) -> None:
    rng = np.random.default_rng(11)
    _, make = POLICIES[name]
    for _ in range(4):
        images = [square_image(*place) for place in rng.uniform(size=(STEPS, 2))]
        expected = episode(make(parts), images, frames=1)
        for frames in (2, 15):
            np.testing.assert_array_equal(episode(make(parts), images, frames), expected)


@pytest.mark.parametrize("name", sorted(WITH_MEMORY))
def test_what_is_remembered_counts(parts: Parts, name: str) -> None:
    """Else the test above would hold of policies without memory only."""
    policy = POLICIES[name][1](parts)
    images = [square_image(x, 1 - x) for x in np.linspace(0, 1, STEPS)]
    taken = episode(policy, images, frames=1)
    policy.reset()
    untaken = np.array([_action(policy.predict(image)) for image in images])
    assert np.abs(taken[1:] - untaken[1:]).max() > 1e-4


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"random"}))
def test_reset_forgets(parts: Parts, name: str) -> None:
    policy = POLICIES[name][1](parts)
    images = [square_image(x, x) for x in np.linspace(0.2, 0.9, STEPS)]
    first = episode(policy, images, frames=1)
    np.testing.assert_array_equal(episode(policy, images, frames=3), first)


def test_the_prediction_of_another_policy_is_refused(parts: Parts) -> None:
    prediction = OpenLoopPolicy(ActionMemory.of(parts[1])).predict(square_image(0, 0))
    with pytest.raises(ArtefactMismatchError, match="not this policy's"):
        nearest(parts, 2, False).advance(
            prediction, some_step(np.random.default_rng(0), prediction)
        )
