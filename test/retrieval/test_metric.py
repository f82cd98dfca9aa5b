"""Linear metrics: whitening, and one learned from actions."""

from __future__ import annotations

import numpy as np
import pytest
from vinn.encoders.principal import principal_components
from vinn.errors import ConfigError, DatasetError
from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations
from vinn.retrieval.metric import pca_whitening
from vinn.retrieval.nca import learn_metric, regression_error


def skewed(count: int = 300, dimension: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(dimension, dimension)) * np.geomspace(5, 1, dimension)
    return (rng.normal(size=(count, dimension)) @ mixing + 3).astype(np.float32)


def test_whitened_features_have_equal_variances_and_no_correlation() -> None:
    features = skewed()
    whitened = pca_whitening(features, 3)(features)
    covariance = np.cov(whitened, rowvar=False)
    assert whitened.mean(axis=0) == pytest.approx(0, abs=1e-4)
    assert covariance - np.diag(np.diag(covariance)) == pytest.approx(0, abs=1e-3)
    assert np.diag(covariance) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("shape", [(40, 8), (8, 40)])
def test_principal_components_are_those_of_the_covariance(shape: tuple[int, int]) -> None:
    samples = np.random.default_rng(1).normal(size=shape).astype(np.float32) * np.arange(
        1, shape[1] + 1
    )
    mean, directions, variances = principal_components(samples, 5)
    np.testing.assert_allclose(directions.T @ directions, np.eye(5), atol=1e-8)
    projected = (samples - mean) @ directions
    np.testing.assert_allclose(projected.var(axis=0), variances, rtol=1e-6)
    singular = np.linalg.svd(samples - mean, compute_uv=False)[:5]
    np.testing.assert_allclose(variances, singular**2 / shape[0], rtol=1e-6)


def test_principal_components_refuse_what_has_none() -> None:
    with pytest.raises(ConfigError, match="all samples are equal"):
        principal_components(np.ones((5, 3), np.float32), 2)
    with pytest.raises(ConfigError, match="0 of 5"):
        principal_components(np.eye(5, dtype=np.float32), 0)


def test_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(2)
    matrix, queries, memory = (
        rng.normal(size=(4, 3)),
        rng.normal(size=(5, 4)),
        rng.normal(size=(9, 4)),
    )
    wanted, known = rng.normal(size=(5, 2)), rng.normal(size=(9, 2))
    allowed = rng.random((5, 9)) < 0.7
    allowed[:, 0] = True
    _, gradient = regression_error(matrix, queries, memory, allowed, wanted, known)
    for place in np.ndindex(matrix.shape):
        step = np.zeros_like(matrix)
        step[place] = 1e-6
        up, _ = regression_error(matrix + step, queries, memory, allowed, wanted, known)
        down, _ = regression_error(matrix - step, queries, memory, allowed, wanted, known)
        assert gradient[place] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-7)


def test_learned_metric_looks_away_from_what_does_not_matter() -> None:
    """The action follows two small directions; a large one is noise, the same in all demos."""
    rng = np.random.default_rng(3)
    ids = np.repeat(np.arange(12), 25)
    cause = rng.uniform(-1, 1, (300, 2))
    nuisance = 4 * rng.normal(size=(300, 2))
    features = np.column_stack([nuisance, cause]).astype(np.float32)
    targets = np.column_stack([np.sin(2 * cause[:, 0]), cause[:, 1]])

    def error(points: np.ndarray) -> float:
        _, rows = neighbors_in_other_demonstrations(points.astype(np.float32), ids, 5)
        return float(((targets[rows].mean(axis=1) - targets) ** 2).mean())

    metric = learn_metric(features, targets, ids, 4)
    assert error(metric(features)) < 0.5 * error(features)
    again = learn_metric(features, targets, ids, 4)
    np.testing.assert_array_equal(metric.matrix, again.matrix)


def test_learned_metric_needs_demonstrations() -> None:
    with pytest.raises(DatasetError, match="at least 4 demonstrations, got 2"):
        learn_metric(skewed(20), np.zeros((20, 1)), np.arange(20) % 2, 3)
