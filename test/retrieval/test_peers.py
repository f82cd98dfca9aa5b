"""What `measure.retrieval` asks a search: it is right about recall, and keeps queries apart."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from vinn.retrieval.neighbors import brute_force_neighbors

from measure.retrieval import peer

COUNT, DIMENSION, QUERIES = 600, 32, 20


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """Walks in a space of few dimensions, as demonstrations are; queries from beside them."""
    random = np.random.default_rng(0)
    walks = random.normal(size=(COUNT // 20, 20, 4)).cumsum(axis=1).reshape(COUNT, 4)
    rows = walks @ random.normal(size=(4, DIMENSION))
    embeddings = (rows + 0.1 * random.normal(size=rows.shape)).astype(np.float32)
    queries = (embeddings[:QUERIES] + 0.1 * random.normal(size=(QUERIES, DIMENSION))).astype(
        np.float32
    )
    truth = [brute_force_neighbors(embeddings, query, peer.K)[0] for query in queries]
    for name, array in {
        "embeddings": embeddings,
        "queries": queries,
        "truth": np.array(truth),
        "added": queries[:5],
        "ids": np.repeat(np.arange(COUNT // 20), 20),
        "real": np.array(COUNT),
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


@pytest.mark.parametrize("name", ["ours", "faiss-hnsw", "faiss-pca-ivf-sq-refine"])
def test_a_search_is_built_asked_and_added_to(
    memory: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fewer dimensions than the factory's own description has.
    small = peer.faiss_factory("PCA16,IVFLISTS,SQ8,RFlat", "nprobe")
    monkeypatch.setitem(peer.SEARCHES, "faiss-pca-ivf-sq-refine", small)
    out = memory / "out.json"
    arguments = ["--search", name, "--data", str(memory), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["peer.py", *arguments])
    peer.main()
    found = json.loads(out.read_text())
    assert found["recall"] >= 0.95
    assert found["query_ms"] > 0
    assert found["add_s"] > 0


def test_recall_is_the_share_of_the_true_nearest(memory: Path) -> None:
    vectors = np.load(memory / "embeddings.npy")
    query, truth = np.load(memory / "queries.npy")[0], np.load(memory / "truth.npy")[0]
    rows = brute_force_neighbors(vectors, query, COUNT)[1]
    assert peer.recall(rows[: peer.K], query, truth, vectors) == 1.0
    assert peer.recall(rows[5 : peer.K + 5], query, truth, vectors) == 0.5
    assert peer.recall(rows[-peer.K :], query, truth, vectors) == 0.0
