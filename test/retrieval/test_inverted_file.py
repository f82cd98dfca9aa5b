"""FAISS's inverted file names near rows, of any memory, and is read back as it was written."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vinn.errors import ArtefactError
from vinn.retrieval.approximate import ApproximateNeighbors
from vinn.retrieval.distances import inner_products
from vinn.retrieval.inverted_file import COMPONENTS, InvertedFile
from vinn.retrieval.neighbors import brute_force_neighbors


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 90),
    dimension=st.integers(1, 150),
    seed=st.integers(0, 2**32 - 1),
    coarse=st.booleans(),
    half=st.booleans(),
    data=st.data(),
)
def test_who_reads_and_measures_everything_agrees_with_brute_force(
    count: int, dimension: int, seed: int, coarse: bool, half: bool, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, count))
    rng = np.random.default_rng(seed)
    shape = (count + 1, dimension)
    # Coarse values make many ties, few dimensions many equal rows.
    draw = rng.integers(-1, 2, shape) if coarse else rng.normal(size=shape)
    embeddings = draw[:-1].astype(np.float16 if half else np.float32)
    query = draw[-1].astype(np.float32)
    lists = InvertedFile.build(embeddings)
    assert lists.count == count and lists.axes.shape[0] == min(COMPONENTS, dimension, count)
    search = ApproximateNeighbors(embeddings, lists, lists.number_of_lists, count)
    distances, rows = search.search(query, k)
    expected = brute_force_neighbors(embeddings.astype(np.float32), query, k)
    np.testing.assert_array_equal(rows, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-12)


@pytest.fixture
def lists() -> InvertedFile:
    """400 rows of 40 numbers in 80 lists."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(400, 40)) * np.linspace(3, 0.1, 40) + 5
    return InvertedFile.build(rows.astype(np.float32))


def test_components_are_those_of_faiss(lists: InvertedFile) -> None:
    query = np.random.default_rng(1).normal(size=40).astype(np.float32)
    theirs = faiss.downcast_VectorTransform(lists.whole.chain.at(0)).apply(query[None])[0]
    np.testing.assert_allclose(lists.place(query), theirs, atol=1e-4)
    np.testing.assert_allclose(
        inner_products(lists.axes, query), lists.axes @ query, rtol=1e-4, atol=1e-4
    )


def test_rows_left_out_are_not_named(lists: InvertedFile) -> None:
    place = lists.place(np.full(40, 5, np.float32))
    everything = lists.rows_near(place, 400, lists.number_of_lists)
    assert sorted(everything.tolist()) == list(range(400))
    left_out = np.sort(everything[:150])
    others = lists.rows_near(place, 400, lists.number_of_lists, left_out)
    np.testing.assert_array_equal(others, everything[150:])


def test_each_row_is_in_the_list_that_names_it(lists: InvertedFile) -> None:
    list_of = lists.list_of_each_row()
    for row in (0, 17, 399):
        place = lists.place(np.full(40, row / 80, np.float32))
        nearest = lists.lists_by_distance(place)
        assert sorted(nearest.tolist()) == list(range(lists.number_of_lists))
        named = lists.rows_near(place, 400, 3)
        assert set(list_of[named]) <= set(nearest[:3].tolist())


def test_what_is_written_is_read_back(lists: InvertedFile, tmp_path: Path) -> None:
    lists.write(tmp_path / "lists.faiss")
    again = InvertedFile.read(tmp_path / "lists.faiss")
    assert (again.count, again.dimension) == (400, 40)
    place = lists.place(np.full(40, 4, np.float32))
    np.testing.assert_array_equal(again.place(np.full(40, 4, np.float32)), place)
    np.testing.assert_array_equal(again.rows_near(place, 30, 5), lists.rows_near(place, 30, 5))


@pytest.mark.parametrize(
    "description",
    ["IVF4,Flat", "IVF4,SQbf16", "PCA4,IVF4,Flat", "PCA4,SQ8", "HNSW8", "PCA8,PCA4,IVF4,SQ8"],
)
def test_another_kind_is_refused_with_what_to_do(description: str, tmp_path: Path) -> None:
    other = faiss.index_factory(12, description)
    other.train(np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32))
    faiss.write_index(other, str(tmp_path / "lists.faiss"))
    with pytest.raises(ArtefactError, match=r"lists.faiss: .*; allowed: .*`vinn policy index`"):
        InvertedFile.read(tmp_path / "lists.faiss")


def test_components_that_are_not_finite_are_refused(lists: InvertedFile, tmp_path: Path) -> None:
    components = faiss.downcast_VectorTransform(lists.whole.chain.at(0))
    axes = lists.axes.copy()
    axes[2, 3] = np.nan
    faiss.copy_array_to_vector(axes.ravel(), components.A)
    lists.write(tmp_path / "lists.faiss")
    with pytest.raises(ArtefactError, match="not finite"):
        InvertedFile.read(tmp_path / "lists.faiss")
