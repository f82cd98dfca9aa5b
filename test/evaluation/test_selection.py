"""Leave-one-demonstration-out choice of k and bandwidth."""

from __future__ import annotations

import numpy as np
import pytest
from vinn.errors import ConfigError, DatasetError
from vinn.policies.artefacts.selection import select_k_and_bandwidth
from vinn.policies.vinn import softmin_weights
from vinn.retrieval.neighbors import brute_force_neighbors


def make_data(noise: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Smooth actions of a 2-d embedding, 8 demonstrations of 20 frames."""
    rng = np.random.default_rng(seed)
    embeddings = rng.uniform(0, 10, (160, 2)).astype(np.float32)
    actions = np.column_stack([np.sin(embeddings[:, 0]), np.cos(embeddings[:, 1]), np.ones(160)])
    actions += rng.normal(0, noise, actions.shape)
    gripper = (embeddings[:, 0] > 5).astype(int) * 3
    return embeddings, actions, np.repeat(np.arange(8), 20), gripper


def test_table_agrees_with_predicting_frame_by_frame() -> None:
    embeddings, actions, ids, gripper = make_data(noise=0.3)
    selection = select_k_and_bandwidth(
        embeddings, actions, ids, ks=(1, 4, 9), bandwidths=(0.2, 1.0), gripper=gripper
    )
    assert len(selection.rows) == 6
    for row in selection.rows:
        errors, gripper_errors = [], []
        for frame in range(len(ids)):
            others = np.flatnonzero(ids != ids[frame])
            distances, found = brute_force_neighbors(embeddings[others], embeddings[frame], row.k)
            weights = softmin_weights(distances, row.bandwidth)
            nearest = others[found]
            errors.append((weights @ actions[nearest] - actions[frame]) ** 2)
            gripper_errors.append((weights @ gripper[nearest] - gripper[frame]) ** 2)
        assert row.translation_mse == pytest.approx(np.mean(errors), rel=1e-6)
        assert row.gripper_mse == pytest.approx(np.mean(gripper_errors), rel=1e-6)
        score = row.translation_mse / np.mean(actions.var(axis=0)) + row.gripper_mse / np.var(
            gripper
        )
        assert row.score == pytest.approx(score, rel=1e-9)


def test_best_row_is_the_minimum_and_comes_first() -> None:
    embeddings, actions, ids, gripper = make_data(noise=0.3)
    selection = select_k_and_bandwidth(embeddings, actions, ids, gripper=gripper)
    scores = [row.score for row in selection.rows]
    assert scores == sorted(scores)
    assert (selection.k, selection.bandwidth) == (selection.rows[0].k, selection.rows[0].bandwidth)
    assert 1.0 in {row.bandwidth for row in selection.rows}


def test_noise_asks_for_more_neighbours() -> None:
    best = []
    for noise in (0.0, 2.0):
        embeddings, actions, ids, _ = make_data(noise)
        grid = {"ks": (1, 3, 10, 30, 60), "bandwidths": (100.0,)}
        best.append(select_k_and_bandwidth(embeddings, actions, ids, **grid).k)
    assert best[0] < best[1]


def test_score_does_not_depend_on_the_unit_of_actions() -> None:
    embeddings, actions, ids, gripper = make_data(noise=0.3)
    metres = select_k_and_bandwidth(embeddings, actions, ids, gripper=gripper)
    millimetres = select_k_and_bandwidth(embeddings, 1000 * actions, ids, gripper=gripper)
    assert (metres.k, metres.bandwidth) == (millimetres.k, millimetres.bandwidth)
    np.testing.assert_allclose(
        [row.score for row in metres.rows], [row.score for row in millimetres.rows]
    )


def test_a_demonstration_never_answers_for_itself() -> None:
    """Each demonstration lies on one spot of its own: its own frames would give zero error."""
    embeddings = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    actions = np.repeat(np.arange(4.0), 5)[:, None] * np.ones(3)
    ids = np.repeat(np.arange(4), 5)
    selection = select_k_and_bandwidth(embeddings, actions, ids, ks=(1,), bandwidths=(1.0,))
    assert selection.rows[0].translation_mse > 0.5


def test_the_impossible_is_refused() -> None:
    embeddings, actions, ids, _ = make_data(noise=0.0)
    with pytest.raises(DatasetError, match="at least 2"):
        select_k_and_bandwidth(embeddings, actions, np.zeros(160, int))
    with pytest.raises(ConfigError, match="only 140 frames"):
        select_k_and_bandwidth(embeddings, actions, ids, ks=(141,))
    with pytest.raises(ConfigError, match="bandwidths"):
        select_k_and_bandwidth(embeddings, actions, ids, bandwidths=(0.0,))
    with pytest.raises(ConfigError, match="gripper_weight: -1"):
        select_k_and_bandwidth(embeddings, actions, ids, gripper_weight=-1)
