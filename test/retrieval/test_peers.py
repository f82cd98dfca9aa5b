"""What `measure.retrieval` asks a search: it is right about recall, and keeps queries apart."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from vinn.retrieval.neighbors import brute_force_neighbors

from measure.retrieval import __main__ as table
from measure.retrieval import peer, searches

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


@pytest.mark.parametrize("name", ["ours", "ours-exact", "faiss-hnsw", "faiss-pca-ivf-sq-refine"])
def test_a_search_is_built_asked_and_added_to(
    memory: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fewer dimensions than the factory's own description has.
    small = searches.faiss_factory("PCA16,IVFLISTS,SQ8,RFlat", "nprobe")
    monkeypatch.setitem(searches.PEERS, "faiss-pca-ivf-sq-refine", small)
    found = {}
    for step in peer.STEPS:
        out = memory / "out.json"
        arguments = [step, "--search", name, "--data", str(memory), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["peer.py", *arguments])
        peer.main()
        found |= json.loads(out.read_text())
    assert found["recall"] >= 0.95
    assert found["query_ms"] > 0
    assert found["add_s"] > 0
    assert found["disk_mib"] > 0


def test_the_quickest_setting_that_finds_enough_is_chosen(memory: Path) -> None:
    vectors = np.load(memory / "embeddings.npy")
    asked: list[tuple[int, int]] = []

    def search(query: np.ndarray, effort: int, candidates: int) -> list[int]:
        """Finds all with effort 2 of 30 candidates, or 4 of 20; more candidates take longer."""
        asked.append((effort, candidates))
        rows = brute_force_neighbors(vectors, query, peer.K)[1].tolist()
        sum(range(2000 * candidates))
        return rows if effort * candidates >= 60 else rows[:5]

    kind = searches.Peer(lambda *_: None, lambda *_: search, None, (1, 2, 4, 8), (20, 30))
    found = peer.ask(kind, memory / "embeddings.npy", memory)
    assert (found["effort"], found["candidates"]) == (4, 20)
    assert found["recall"] == 1.0
    assert (8, 20) not in asked


def test_a_step_that_fails_is_said_with_its_last_line(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = argparse.Namespace(steps=["build"], again=False, limit_minutes=1.0, work=memory)
    (memory / "embeddings.npy").write_bytes(b"nothing")
    said = table.measured("ours-exact", memory, given)
    assert isinstance(said, str)
    assert said.startswith("build fails with 1: ")
    assert table.measured("ours-exact", memory, given) == said


def test_recall_is_the_share_of_the_true_nearest(memory: Path) -> None:
    vectors = np.load(memory / "embeddings.npy")
    query, truth = np.load(memory / "queries.npy")[0], np.load(memory / "truth.npy")[0]
    rows = brute_force_neighbors(vectors, query, COUNT)[1]
    assert peer.recall(rows[: peer.K], query, truth, vectors) == 1.0
    assert peer.recall(rows[5 : peer.K + 5], query, truth, vectors) == 0.5
    assert peer.recall(rows[-peer.K :], query, truth, vectors) == 0.0
