"""FAISS agrees with the formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vinn.errors import ArtefactMismatchError, ConfigError, DatasetError
from vinn.retrieval.distances import squared_distances, squared_distances_to
from vinn.retrieval.flat import FlatNeighbors
from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations
from vinn.retrieval.neighbors import brute_force_neighbors
from vinn.retrieval.projected import ProjectedNeighbors
from vinn.retrieval.projection import Projection


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 80),
    dimension=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    coarse=st.booleans(),
    data=st.data(),
)
def test_flat_agrees_with_brute_force(
    count: int, dimension: int, seed: int, coarse: bool, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, count))
    rng = np.random.default_rng(seed)
    # Coarse values make many ties and many distances of exactly zero.
    draw = (
        rng.integers(-1, 2, (count + 1, dimension))
        if coarse
        else rng.normal(size=(count + 1, dimension))
    )
    embeddings, query = draw[:-1].astype(np.float32), draw[-1].astype(np.float32)
    distances, rows = FlatNeighbors(embeddings).search(query, k)
    expected, _ = brute_force_neighbors(embeddings, query, k)
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-4)
    # Of tied rows either may be found, but each once, and at the distance stated.
    assert len(set(rows.tolist())) == k
    np.testing.assert_allclose(
        np.linalg.norm(embeddings[rows] - query, axis=1), distances, rtol=1e-4, atol=1e-4
    )
    order = list(zip(distances, rows, strict=True))
    assert order == sorted(order)


def test_distances_are_euclidean_not_squared() -> None:
    index = FlatNeighbors(np.array([[3, 4], [0, 1]], np.float32))
    distances, rows = index.search(np.zeros(2, np.float32), 2)
    assert distances.tolist() == [1.0, 5.0]
    assert rows.tolist() == [1, 0]


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_out_of_range_names_both(k: int) -> None:
    embeddings = np.zeros((3, 2), np.float32)
    for search in (
        FlatNeighbors(embeddings).search,
        lambda query, k: brute_force_neighbors(embeddings, query, k),
    ):
        with pytest.raises(ConfigError, match=rf"{k} neighbours of 3"):
            search(np.zeros(2, np.float32), k)


def test_wrong_dimension_names_both() -> None:
    with pytest.raises(ArtefactMismatchError, match=r"\(5,\).*2"):
        FlatNeighbors(np.zeros((3, 2), np.float32)).search(np.zeros(5, np.float32), 1)


def test_leave_one_demonstration_out_agrees_with_brute_force() -> None:
    rng = np.random.default_rng(4)
    # Far from the origin, where ||x||^2 + ||y||^2 - 2xy loses digits.
    embeddings = (50 + rng.normal(size=(40, 16))).astype(np.float32)
    ids = rng.permutation(np.repeat([7, 1, 3, 9], [4, 16, 10, 10]))
    distances, rows = neighbors_in_other_demonstrations(embeddings, ids, k=5)
    for frame in range(40):
        others = np.flatnonzero(ids != ids[frame])
        expected, found = brute_force_neighbors(embeddings[others], embeddings[frame], 5)
        np.testing.assert_allclose(distances[frame], expected, rtol=1e-6)
        assert rows[frame].tolist() == others[found].tolist()


def test_leave_one_demonstration_out_refuses_the_impossible() -> None:
    embeddings = np.zeros((6, 2), np.float32)
    with pytest.raises(DatasetError, match="at least 2 demonstrations, got 1"):
        neighbors_in_other_demonstrations(embeddings, np.zeros(6, int), 1)
    with pytest.raises(ConfigError, match="only 2 frames"):
        neighbors_in_other_demonstrations(embeddings, np.array([0, 0, 0, 0, 1, 1]), 3)


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(1, 300),
    dimension=st.integers(1, 40),
    components=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from(["normal", "coarse", "far", "trajectories", "equal"]),
    half=st.booleans(),
    data=st.data(),
)
def test_projected_equals_brute_force(
    count: int,
    dimension: int,
    components: int,
    seed: int,
    spread: str,
    half: bool,
    data: st.DataObject,
) -> None:
    k = data.draw(st.integers(1, count))
    embeddings, query = _draw(np.random.default_rng(seed), count, dimension, spread)
    stored = embeddings.astype(np.float16) if half else embeddings
    search = ProjectedNeighbors(stored, Projection.fit(stored, components))
    distances, rows = search.search(query, k)
    expected_distances, expected_rows = brute_force_neighbors(stored.astype(np.float32), query, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(distances, expected_distances)


def _draw(
    rng: np.random.Generator, count: int, dimension: int, spread: str
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and a query with ties, with a large common offset, or along a path."""
    drawn = rng.normal(size=(count + 1, dimension))
    if spread == "coarse":
        drawn = rng.integers(-1, 2, (count + 1, dimension)).astype(float)
    elif spread == "far":
        drawn = 1000.0 + 0.5 * drawn
    elif spread == "trajectories":
        drawn = np.cumsum(drawn, axis=0) * 0.1
    elif spread == "equal":
        drawn[:] = drawn[0]
    rng.shuffle(drawn)
    return drawn[:-1].astype(np.float32), drawn[-1].astype(np.float32)


def test_projected_measures_few_rows_of_many_trajectories() -> None:
    rng = np.random.default_rng(3)
    paths = np.cumsum(rng.normal(size=(100, 50, 64)) * np.linspace(2, 0.05, 64), axis=1)
    embeddings = paths.reshape(-1, 64).astype(np.float32)
    search = ProjectedNeighbors(embeddings, Projection.fit(embeddings, 16))
    for row in range(0, len(embeddings), 97):
        query = embeddings[row] + rng.normal(size=64).astype(np.float32) * 0.05
        _, rows = search.search(query, 10)
        np.testing.assert_array_equal(rows, brute_force_neighbors(embeddings, query, 10)[1])
        assert search.measured < len(embeddings) / 5


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_squared_distances_to_rows_agree_with_the_formula(dtype: type) -> None:
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(400, 37)).astype(dtype)
    query = rng.normal(size=37).astype(np.float32)
    expected = ((embeddings.astype(np.float64) - query) ** 2).sum(axis=1)
    numbers = rng.permutation(400)[:300]
    found = squared_distances_to(embeddings, numbers, query)
    np.testing.assert_allclose(found, expected[numbers], rtol=1e-5)
    if dtype is np.float32:
        np.testing.assert_allclose(squared_distances(embeddings, query), expected, rtol=1e-5)
    assert squared_distances_to(embeddings, numbers[:0], query).shape == (0,)


def test_distances_refuse_what_bare_pointers_would_misread() -> None:
    rows, query = np.zeros((5, 3), np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="C-contiguous"):
        squared_distances(np.asfortranarray(rows), query)
    with pytest.raises(ValueError, match="float64"):
        squared_distances(rows.astype(np.float64), query)
    with pytest.raises(ValueError, match=r"query: \(2,\)"):
        squared_distances(rows, query[:2])
    for numbers in ([0, 5], [-1, 0]):
        with pytest.raises(ValueError, match="of 5 rows"):
            squared_distances_to(rows, np.array(numbers), query)
