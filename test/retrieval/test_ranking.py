"""Agreement of rankings, against one computed frame by frame."""

from __future__ import annotations

import numpy as np
from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations
from vinn.retrieval.neighbors import brute_force_neighbors
from vinn.retrieval.ranking import compare_rankings


def frames(seed: int = 0, demonstrations: int = 6, steps: int = 20, dimension: int = 8):
    rng = np.random.default_rng(seed)
    paths = rng.normal(size=(demonstrations, steps, dimension)).cumsum(axis=1)
    ids = np.repeat(np.arange(demonstrations), steps)
    return paths.reshape(-1, dimension).astype(np.float32), ids


def test_the_same_embeddings_agree_fully_even_with_duplicates() -> None:
    embeddings, ids = frames()
    doubled = np.concatenate([embeddings, embeddings])
    both = np.concatenate([ids, ids + 6])
    for points, of in ((embeddings, ids), (doubled, both)):
        agreement = compare_rankings(points, points * np.float32(3), of)
        assert (agreement.overlap, agreement.first) == (1, 1)


def test_agreement_is_the_share_of_shared_neighbours() -> None:
    embeddings, ids = frames()
    other = embeddings + np.random.default_rng(1).normal(0, 1.5, embeddings.shape).astype(
        np.float32
    )
    shared, first = [], []
    for row in range(len(embeddings)):
        outside = np.flatnonzero(ids != ids[row])
        rankings = [
            brute_force_neighbors(points[outside], points[row], 10)[1]
            for points in (embeddings, other)
        ]
        shared.append(len(set(rankings[0]) & set(rankings[1])) / 10)
        first.append(rankings[0][0] == rankings[1][0])
    agreement = compare_rankings(embeddings, other, ids)
    np.testing.assert_allclose(agreement.overlap, np.mean(shared), atol=1e-9)
    np.testing.assert_allclose(agreement.first, np.mean(first), atol=1e-9)
    assert 0.1 < agreement.overlap < 0.9
    assert (agreement.k, agreement.queries) == (10, len(embeddings))


def test_a_sample_asks_for_some_frames_among_all() -> None:
    embeddings, ids = frames()
    rows = np.array([3, 50, 51, 119])
    distances, found = neighbors_in_other_demonstrations(embeddings, ids, 4)
    few_distances, few = neighbors_in_other_demonstrations(embeddings, ids, 4, rows)
    np.testing.assert_array_equal(few, found[rows])
    np.testing.assert_allclose(few_distances, distances[rows])
    assert compare_rankings(embeddings, embeddings, ids, max_queries=30).queries == 30
