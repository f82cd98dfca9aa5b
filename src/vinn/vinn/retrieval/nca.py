"""A metric learned from actions: neighbourhood components analysis for regression.

Goldberger et al. 2004 for classes; for real targets Weinberger and Tesauro 2007. With the policy's
own kernel (softmin of Euclidean distances) and z_i = P x_i A, P the principal components:

    w_ij = exp(-||z_i - z_j||) / sum_l exp(-||z_i - z_l||)     j, l of other demonstrations than i
    L(A) = 1/n sum_i || sum_j w_ij y_j - y_i ||^2              y: action and gripper, normalised

Gradient, with p_i = sum_j w_ij y_j and d_ij = ||z_i - z_j||:

    dL/dd_ij = -2/n w_ij (p_i - y_i) . (y_j - p_i)

A starts as the identity on the components. Every fifth demonstration is kept out and the A of the
smallest error on those is taken, so that the metric stops before it learns frames by heart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.principal import principal_components
from vinn.errors import DatasetError
from vinn.retrieval.metric import LinearMetric

COMPONENTS = 256
BATCH = 256
ITERATIONS = 150
CHECK_EVERY = 10
LEARNING_RATE = 0.01
START_DISTANCE = 3.0
"""Median distance of nearest neighbours at the start: where softmin is neither flat nor hard."""

Float = NDArray[np.float64]
Progress = Callable[[int, int], None]


def learn_metric(
    features: NDArray[np.float32],
    targets: NDArray[np.float64],
    demonstration_ids: NDArray[np.int64],
    dimension: int,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> LinearMetric:
    """Learn a metric from (N, D) to (N, `dimension`) at most.

    Args:
        features: (N, D).
        targets: (N, C) what neighbours shall agree in; comparable in scale.
        demonstration_ids: (N,) equal for frames of one demonstration (in all its views).
        dimension: M.
        seed: of the batches and of what is kept out.
        on_progress: called with (iterations done, iterations in all).

    Raises:
        DatasetError: fewer than 4 demonstrations.
    """
    ids = np.unique(demonstration_ids)
    if len(ids) < 4:
        raise DatasetError(f"a learned metric needs at least 4 demonstrations, got {len(ids)}")
    mean, directions, _ = principal_components(features, COMPONENTS)
    points: Float = (features - mean) @ directions
    scale = np.sqrt((points**2).sum(axis=1).mean())
    points /= scale
    rng = np.random.default_rng([seed, 0x9CA])
    kept_out = np.isin(demonstration_ids, rng.permutation(ids)[::5])
    train, held = np.flatnonzero(~kept_out), np.flatnonzero(kept_out)
    held = rng.permutation(held)[: 2 * BATCH]

    matrix = np.eye(points.shape[1], min(dimension, points.shape[1]))
    matrix *= START_DISTANCE / _median_nearest(points @ matrix, demonstration_ids, rng)
    best, best_error = matrix, np.inf
    first, second = np.zeros_like(matrix), np.zeros_like(matrix)
    rate = LEARNING_RATE * float(np.abs(matrix).max())
    for iteration in range(ITERATIONS + 1):
        if iteration % CHECK_EVERY == 0:
            other = np.ones((len(held), len(train)), bool)
            error, _ = regression_error(
                matrix, points[held], points[train], other, targets[held], targets[train]
            )
            if error < best_error:
                best, best_error = matrix.copy(), error
        if iteration == ITERATIONS:
            break
        rows = rng.choice(train, min(BATCH, len(train)), replace=False)
        other = demonstration_ids[rows][:, None] != demonstration_ids[train]
        _, gradient = regression_error(
            matrix, points[rows], points[train], other, targets[rows], targets[train]
        )
        # Adam (Kingma and Ba 2015)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        step = iteration + 1
        matrix = matrix - rate * (first / (1 - 0.9**step)) / (
            np.sqrt(second / (1 - 0.999**step)) + 1e-12
        )
        if on_progress is not None:
            on_progress(step, ITERATIONS)
    return LinearMetric(mean.astype(np.float32), (directions @ best / scale).astype(np.float32))


def regression_error(
    matrix: Float,
    queries: Float,
    memory: Float,
    allowed: NDArray[np.bool_],
    wanted: Float,
    known: Float,
) -> tuple[float, Float]:
    """L of the module's text, and its gradient.

    Args:
        matrix: A, (D, M).
        queries: (n, D).
        memory: (N, D) rows that may be looked at.
        allowed: (n, N) which of them by which query; at least one each.
        wanted: (n, C) targets of the queries.
        known: (N, C) targets of the memory.
    """
    z_query, z_memory = queries @ matrix, memory @ matrix
    squared = (z_query**2).sum(1)[:, None] + (z_memory**2).sum(1) - 2 * z_query @ z_memory.T
    distances = np.sqrt(np.maximum(squared, 1e-12))
    masked = np.where(allowed, distances, np.inf)
    weights = np.exp(-(masked - masked.min(axis=1, keepdims=True)))
    weights /= weights.sum(axis=1, keepdims=True)
    predicted = weights @ known
    residual = predicted - wanted
    error = float((residual**2).sum(axis=1).mean())
    agreement = residual @ known.T - (residual * predicted).sum(axis=1, keepdims=True)
    pull = -2 / len(queries) * weights * agreement / distances
    to_query = pull.sum(axis=1)[:, None] * z_query - pull @ z_memory
    to_memory = pull.sum(axis=0)[:, None] * z_memory - pull.T @ z_query
    return error, queries.T @ to_query + memory.T @ to_memory


def _median_nearest(
    points: Float, demonstration_ids: NDArray[np.int64], rng: np.random.Generator
) -> float:
    rows = rng.choice(len(points), min(BATCH, len(points)), replace=False)
    squared = (points[rows] ** 2).sum(1)[:, None] + (points**2).sum(1) - 2 * points[rows] @ points.T
    squared[demonstration_ids[rows][:, None] == demonstration_ids] = np.inf
    return max(float(np.median(np.sqrt(np.maximum(squared.min(axis=1), 0)))), 1e-9)
