"""Milvus Lite behind the protocol of all searches, against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.retrieval.neighbors import Neighbors, brute_force_neighbors

pytest.importorskip("pymilvus", reason="needs the 'milvus' extra")
pytest.importorskip("milvus_lite", reason="needs the 'milvus' extra")

from vinn.retrieval.milvus import MilvusNeighbors, fill_collection


def test_milvus_finds_what_brute_force_finds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(1300, 24)).astype(np.float32)
    uri = str(tmp_path / "memory.db")
    progress: list[tuple[int, int]] = []
    fill_collection(uri, "frames", embeddings, on_progress=lambda *done: progress.append(done))
    assert progress == [(1000, 1300), (1300, 1300)]
    search = MilvusNeighbors(uri, "frames")
    neighbors: Neighbors = search
    assert (neighbors.count, neighbors.dimension) == (1300, 24)
    queries = [*rng.normal(size=(5, 24)).astype(np.float32), embeddings[1200]]
    for query in queries:
        for k in (1, 10):
            distances, rows = neighbors.search(query, k)
            expected, expected_rows = brute_force_neighbors(embeddings, query, k)
            np.testing.assert_array_equal(rows, expected_rows)
            np.testing.assert_allclose(distances, expected, atol=1e-3)
    with pytest.raises(ConfigError, match="1301"):
        neighbors.search(queries[0], 1301)
    with pytest.raises(ArtefactMismatchError, match="24"):
        neighbors.search(queries[0][:7], 3)
    search.close()
    with pytest.raises(ArtefactMismatchError, match="already"):
        fill_collection(uri, "frames", embeddings)
    with pytest.raises(ArtefactError, match="no collection 'others'"):
        MilvusNeighbors(uri, "others")
