"""The paper's policy against its formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_encoder import DIMENSION, square_image, write_tiny_encoder
from vinn.demos.types import ActionScale
from vinn.encoders.encoder import Encoder, load_encoder
from vinn.errors import ArtefactMismatchError, ConfigError, ImageError
from vinn.policies.memory import ActionMemory
from vinn.policies.vinn import VinnPolicy, softmin_weights
from vinn.retrieval.flat import FlatNeighbors

COUNT = 30


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


def make_memory(count: int = COUNT, seed: int = 0) -> ActionMemory:
    rng = np.random.default_rng(seed)
    return ActionMemory(
        camera_delta=rng.normal(0, 0.02, (count, 3)).astype(np.float32),
        gripper=rng.integers(0, 4, count).astype(np.int8),
        demonstration_ids=np.arange(count) // 10,
        frames=(np.arange(count) % 10).astype(np.int32),
        names=tuple(f"demo_{i}" for i in range((count + 9) // 10)),
        action_scale=ActionScale.METRIC,
    )


def make_embeddings(count: int = COUNT, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


@given(
    distances=st.lists(st.floats(0, 1e4), min_size=1, max_size=30),
    bandwidth=st.floats(1e-3, 1e3),
)
def test_weights_sum_to_one_and_fall_with_distance(
    distances: list[float], bandwidth: float
) -> None:
    ordered = np.sort(distances)
    weights = softmin_weights(ordered, bandwidth)
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights) <= 1e-15).all()


def test_weights_are_the_papers_softmin() -> None:
    distances = np.array([0.5, 1.0, 2.5])
    kernel = np.exp(-distances)
    np.testing.assert_allclose(softmin_weights(distances), kernel / kernel.sum())
    kernel = np.exp(-distances / 0.2)
    np.testing.assert_allclose(softmin_weights(distances, 0.2), kernel / kernel.sum())


@pytest.mark.parametrize(("k", "bandwidth"), [(1, 1.0), (10, 1.0), (10, 0.3), (COUNT, 5.0)])
def test_prediction_is_the_formula(encoder: Encoder, k: int, bandwidth: float) -> None:
    memory, embeddings = make_memory(), make_embeddings()
    policy = VinnPolicy(encoder, FlatNeighbors(embeddings), memory, k, bandwidth)
    query = make_embeddings(1, seed=9)[0]
    prediction = policy.predict_embedding(query)

    distance = np.linalg.norm(embeddings.astype(float) - query, axis=1)
    nearest = np.argsort(distance)[:k]
    kernel = np.exp(-distance[nearest] / bandwidth)
    weights = kernel / kernel.sum()
    np.testing.assert_allclose(
        prediction.camera_delta, weights @ memory.camera_delta[nearest], rtol=1e-4, atol=1e-7
    )
    assert prediction.gripper_value == pytest.approx(weights @ memory.gripper[nearest], rel=1e-4)
    for state in range(4):
        share = weights[memory.gripper[nearest] == state].sum()
        assert prediction.gripper_probabilities[state] == pytest.approx(share, abs=1e-5)
    assert [n.index for n in prediction.neighbors] == nearest.tolist()
    assert sum(n.weight for n in prediction.neighbors) == pytest.approx(1)
    first = prediction.neighbors[0]
    assert first.demonstration == f"demo_{nearest[0] // 10}"
    assert first.frame == nearest[0] % 10
    assert first.distance == pytest.approx(distance[nearest[0]], rel=1e-4)
    assert first.gripper_state == memory.gripper[nearest[0]]
    assert np.isnan(prediction.novelty)
    assert prediction.action_scale is ActionScale.METRIC


def test_a_demonstration_frame_is_its_own_neighbour(encoder: Encoder) -> None:
    images = [square_image(x, 0.5) for x in np.linspace(0, 1, COUNT)]
    embeddings = encoder.embed(images)
    policy = VinnPolicy(encoder, FlatNeighbors(embeddings), make_memory(), 5, novelty_limit=2.0)
    prediction = policy.predict(images[7])
    assert prediction.neighbors[0].index == 7
    assert prediction.neighbors[0].distance == 0
    assert prediction.novelty == 0
    assert set(prediction.latency_s) == {"preprocess", "encode", "retrieve"}


def test_novelty_is_distance_over_limit(encoder: Encoder) -> None:
    embeddings = np.zeros((COUNT, DIMENSION), np.float32)
    policy = VinnPolicy(encoder, FlatNeighbors(embeddings), make_memory(), novelty_limit=4.0)
    query = np.zeros(DIMENSION, np.float32)
    query[0] = 6.0
    assert policy.predict_embedding(query).novelty == pytest.approx(1.5)


def test_projection_gives_unit_length_and_leaves_zero_alone(encoder: Encoder) -> None:
    embeddings = make_embeddings()
    query = make_embeddings(1, seed=9)[0]
    plain = VinnPolicy(encoder, FlatNeighbors(embeddings), make_memory())
    projected = VinnPolicy(encoder, FlatNeighbors(embeddings), make_memory(), project_to_unit=True)
    raw = plain.predict_embedding(query).camera_delta
    unit = projected.predict_embedding(query).camera_delta
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw))
    memory = make_memory()
    memory.camera_delta[:] = 0
    still = VinnPolicy(encoder, FlatNeighbors(embeddings), memory, project_to_unit=True)
    np.testing.assert_array_equal(still.predict_embedding(query).camera_delta, np.zeros(3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": COUNT + 1}, f"{COUNT + 1} neighbours of {COUNT}"),
        ({"k": 0}, "0 neighbours"),
        ({"bandwidth": 0.0}, "bandwidth: 0"),
        ({"bandwidth": float("nan")}, "bandwidth: nan"),
    ],
)
def test_bad_settings_are_refused(
    encoder: Encoder, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        VinnPolicy(encoder, FlatNeighbors(make_embeddings()), make_memory(), **settings)  # type: ignore[arg-type]


def test_parts_that_do_not_belong_together_are_refused(encoder: Encoder) -> None:
    with pytest.raises(ArtefactMismatchError, match="29 embeddings, 30 actions"):
        VinnPolicy(encoder, FlatNeighbors(make_embeddings(29)), make_memory())
    narrow = np.zeros((COUNT, 7), np.float32)
    with pytest.raises(ArtefactMismatchError, match=r"48.*7"):
        VinnPolicy(encoder, FlatNeighbors(narrow), make_memory())


def test_bad_queries_are_refused(encoder: Encoder) -> None:
    policy = VinnPolicy(encoder, FlatNeighbors(make_embeddings()), make_memory())
    with pytest.raises(ImageError, match="not finite"):
        policy.predict_embedding(np.full(DIMENSION, np.nan, np.float32))
    with pytest.raises(ArtefactMismatchError, match=r"\(3,\)"):
        policy.predict_embedding(np.zeros(3, np.float32))
    with pytest.raises(ImageError, match="float64"):
        policy.predict(np.zeros((4, 4, 3)))  # type: ignore[arg-type]


def test_the_paper_fits_in_one_short_file() -> None:
    import vinn.policies.vinn as module

    assert len(Path(module.__file__).read_text().splitlines()) <= 185
