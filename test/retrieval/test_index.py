"""Indexes on disk: equal to what they were built from, and refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import faiss
import numpy as np
import pytest
from vinn.demos.files import sha256_file
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.retrieval.effort import GOAL_RECALL
from vinn.retrieval.flat import FlatNeighbors
from vinn.retrieval.index import (
    FLAT_UP_TO,
    IndexKind,
    build_index,
    kind_for,
    open_index,
    read_index_manifest,
    read_projection,
    search_over,
)
from vinn.retrieval.inverted_file import InvertedFile
from vinn.retrieval.neighbors import brute_force_neighbors
from vinn.retrieval.projected import ProjectedNeighbors

HASH = "ab" * 32


@pytest.fixture(scope="module")
def memory() -> tuple[np.ndarray, np.ndarray]:
    """6,000 embeddings on 120 paths, and the paths' numbers."""
    rng = np.random.default_rng(0)
    scale = np.linspace(1.0, 0.02, 48)
    paths = np.cumsum(rng.normal(size=(120, 50, 48)) * scale, axis=1)
    return paths.reshape(-1, 48).astype(np.float32), np.repeat(np.arange(120), 50)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_projected_index_answers_as_brute_force(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray], dtype: type
) -> None:
    embeddings = memory[0].astype(dtype)
    manifest = build_index(tmp_path / "index", embeddings, memory[1], HASH)
    assert manifest.kind is IndexKind.PROJECTED
    search = open_index(tmp_path / "index", embeddings, HASH)
    for query in memory[0][::611] + np.float32(0.01):
        expected = brute_force_neighbors(embeddings.astype(np.float32), query, 7)
        found = search.search(query, 7)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_an_approximate_index_has_the_recall_it_states(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray], unit: float
) -> None:
    embeddings, ids = memory[0] * np.float32(unit), memory[1]
    manifest = build_index(tmp_path / "index", embeddings, ids, HASH, IndexKind.APPROXIMATE)
    assert manifest.recall is not None and manifest.recall >= GOAL_RECALL
    assert manifest.probes is not None and manifest.lists is not None
    assert manifest.probes < manifest.lists
    search = open_index(tmp_path / "index", embeddings, HASH)
    rng = np.random.default_rng(5)
    hits = []
    for row in rng.choice(len(embeddings), 200, replace=False):
        query = embeddings[row] + rng.normal(size=48).astype(np.float32) * np.float32(0.05 * unit)
        truth = brute_force_neighbors(embeddings, query, 10)[1]
        distances, rows = search.search(query, 10)
        assert (np.diff(distances) >= 0).all() and len(set(rows.tolist())) == 10
        hits.append(len(np.intersect1d(truth, rows)) / 10)
    assert np.mean(hits) >= GOAL_RECALL - 0.02


def test_an_approximate_search_finds_as_many_as_asked_for(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray]
) -> None:
    embeddings, ids = memory[0][:500], memory[1][:500]
    build_index(tmp_path / "index", embeddings, ids, HASH, IndexKind.APPROXIMATE)
    search = open_index(tmp_path / "index", embeddings, HASH)
    assert len(set(search.search(embeddings[3], 500)[1].tolist())) == 500


def test_rows_added_later_keep_the_projection(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray]
) -> None:
    embeddings, ids = memory
    build_index(tmp_path / "old", embeddings[:4500], ids[:4500], HASH)
    kept = read_projection(tmp_path / "old")
    build_index(tmp_path / "new", embeddings, ids, HASH, kept=tmp_path / "old")
    np.testing.assert_array_equal(read_projection(tmp_path / "new").basis, kept.basis)
    search = open_index(tmp_path / "new", embeddings, HASH)
    query = embeddings[5000] + np.float32(0.02)
    expected = brute_force_neighbors(embeddings, query, 10)
    np.testing.assert_array_equal(search.search(query, 10)[1], expected[1])


def test_an_approximate_index_grows_and_shrinks_without_a_new_fit(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray]
) -> None:
    embeddings, ids = memory
    kind = IndexKind.APPROXIMATE
    build_index(tmp_path / "old", embeddings[:4500], ids[:4500], HASH, kind)
    fitted = InvertedFile.read(tmp_path / "old" / "inverted.faiss").axes
    for name, rows in (("more", slice(None)), ("fewer", slice(1000, 3000))):
        index = tmp_path / name
        build_index(index, embeddings[rows], ids[rows], HASH, kind, kept=tmp_path / "old")
        now = InvertedFile.read(index / "inverted.faiss")
        np.testing.assert_array_equal(now.axes, fitted)
        assert now.count == len(embeddings[rows])
        search = open_index(index, embeddings[rows], HASH)
        shares = []
        for query in embeddings[rows][::83] + np.float32(0.02):
            expected = brute_force_neighbors(embeddings[rows], query, 10)[1]
            shares.append(len(np.intersect1d(search.search(query, 10)[1], expected)) / 10)
        assert np.mean(shares) >= GOAL_RECALL - 0.02


@pytest.mark.parametrize(("rows", "again"), [(5_500, False), (4_000, True)])
def test_the_effort_is_chosen_anew_where_the_size_has_changed(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray], rows: int, again: bool
) -> None:
    embeddings, ids = memory
    kind = IndexKind.APPROXIMATE
    asked = np.arange(100)
    first = build_index(tmp_path / "0", embeddings, ids, HASH, kind, asked=asked)
    second = build_index(
        tmp_path / "1", embeddings[:rows], ids[:rows], HASH, kind, kept=tmp_path / "0"
    )
    # By all of the memory, not by the hundred that the first one asked about.
    assert (second.recall_queries == 200) is again
    assert second.recall_count == (rows if again else len(embeddings))
    if not again:
        assert second.probes == first.probes
        # Little by little is no way round: the size when it was measured counts.
        third = build_index(
            tmp_path / "2", embeddings[:5_000], ids[:5_000], HASH, kind, kept=tmp_path / "1"
        )
        assert third.recall_count == 5_000


def test_an_index_of_an_earlier_version_opens_or_says_what_to_do(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray]
) -> None:
    embeddings, ids = memory[0][:400], memory[1][:400]
    for kind in (IndexKind.PROJECTED, IndexKind.APPROXIMATE):
        index = tmp_path / kind.value
        build_index(index, embeddings, ids, HASH, kind)
        said = json.loads((index / "index.json").read_text(encoding="utf-8"))
        if kind is IndexKind.APPROXIMATE:
            # Lists over coordinates of our own, which were kept beside it.
            theirs = faiss.index_factory(33, "IVF8,SQbf16")
            theirs.train(np.random.default_rng(0).normal(size=(400, 33)).astype(np.float32))
            faiss.write_index(theirs, str(index / "inverted.faiss"))
            said["files"] = {"inverted.faiss": sha256_file(index / "inverted.faiss")}
            said["residual_cosine"] = 0.8
        else:
            assert said["residual_cosine"] is None
        (index / "index.json").write_text(json.dumps(said), encoding="utf-8")
    query = embeddings[7]
    found = open_index(tmp_path / "projected", embeddings, HASH).search(query, 3)
    assert found[1][0] == 7
    for attempt in (
        lambda: open_index(tmp_path / "approximate", embeddings, HASH),
        lambda: build_index(
            tmp_path / "grown",
            embeddings,
            ids,
            HASH,
            IndexKind.APPROXIMATE,
            kept=tmp_path / "approximate",
        ),
    ):
        with pytest.raises(
            ArtefactError, match=r"approximate.inverted.faiss: .*`vinn policy index"
        ):
            attempt()
    assert not (tmp_path / "grown").exists()


def test_the_size_chooses(memory: tuple[np.ndarray, np.ndarray]) -> None:
    assert kind_for(FLAT_UP_TO) is IndexKind.FLAT
    assert kind_for(FLAT_UP_TO + 1) is IndexKind.PROJECTED
    assert kind_for(1_000_000) is IndexKind.APPROXIMATE
    assert isinstance(search_over(memory[0][:100]), FlatNeighbors)
    assert isinstance(search_over(memory[0]), ProjectedNeighbors)


def test_an_index_that_does_not_fit_is_refused(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray]
) -> None:
    embeddings, ids = memory
    index = tmp_path / "index"
    build_index(index, embeddings, ids, HASH, IndexKind.APPROXIMATE)
    with pytest.raises(ArtefactMismatchError, match="cdcdcdcdcdcd"):
        open_index(index, embeddings, "cd" * 32)
    with pytest.raises(ArtefactMismatchError, match="5999"):
        open_index(index, embeddings[:-1], HASH)
    (index / "inverted.faiss").write_bytes((index / "inverted.faiss").read_bytes()[:1000])
    with pytest.raises(ArtefactMismatchError, match=r"inverted\.faiss"):
        open_index(index, embeddings, HASH)
    (index / "index.json").write_text("{", encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"index\.json"):
        read_index_manifest(index)
    with pytest.raises(ConfigError, match="flat"):
        build_index(tmp_path / "flat", embeddings, ids, HASH, IndexKind.FLAT)


def test_a_truncated_file_is_refused(tmp_path: Path, memory: tuple[np.ndarray, np.ndarray]) -> None:
    embeddings, ids = memory
    index = tmp_path / "index"
    build_index(index, embeddings, ids, HASH)
    for name in ("coordinates.npy", "projection.npz"):
        path = index / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ArtefactMismatchError, match=name):
            open_index(index, embeddings, HASH)
        path.write_bytes(whole)


def test_the_effort_may_be_chosen_by_some_rows(
    tmp_path: Path, memory: tuple[np.ndarray, np.ndarray]
) -> None:
    embeddings, ids = memory
    asked = np.arange(30)
    manifest = build_index(
        tmp_path / "index", embeddings, ids, HASH, IndexKind.APPROXIMATE, asked=asked
    )
    assert manifest.recall_queries == len(asked)
