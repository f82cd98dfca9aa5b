"""Choice of k and kernel bandwidth by leaving one demonstration out.

Every demonstration frame is predicted from the frames of all other demonstrations, for every
setting of a grid. No trial is looked at, so success rates measured later stay honest.

The criterion is

    score = MSE(translation) / var(translation)  +  w * MSE(gripper value) / var(gripper value)

MSE(translation) is the mean over frames and the three components, against the demonstrations'
actions in their own scale; var is the mean square around the mean, so that 1 is the score of a
policy that always says the mean, and metres or unit vectors give the same score. The second term is
there because translation alone misranks on door opening: a policy that averages the moment of
closing with the approach has a small error, but stalls in front of the handle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vinn.errors import ConfigError
from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations

DEFAULT_KS = (1, 2, 3, 5, 7, 10, 15, 20)
BANDWIDTH_MULTIPLES = (0.03, 0.1, 0.3, 1.0, 3.0)
PAPER_BANDWIDTH = 1.0


@dataclass(frozen=True)
class SelectionRow:
    """One setting of the grid and its errors.

    Attributes:
        k: neighbours.
        bandwidth: of the softmin kernel, in units of embedding distance.
        translation_mse: mean over frames and components, action scale squared.
        gripper_mse: mean over frames of the gripper value's squared error (states are 0..3); NaN
            if no gripper states were given.
        score: the criterion; lower is better.
    """

    k: int
    bandwidth: float
    translation_mse: float
    gripper_mse: float
    score: float


@dataclass(frozen=True)
class Selection:
    """The best setting and the whole table.

    Attributes:
        k: of the best row.
        bandwidth: of the best row.
        rows: all settings, best first; of equal scores the smaller k, then the paper's bandwidth.
        median_neighbor_distance: between frames and their nearest in other demonstrations.
    """

    k: int
    bandwidth: float
    rows: tuple[SelectionRow, ...]
    median_neighbor_distance: float


def select_k_and_bandwidth(
    embeddings: NDArray[np.float32],
    actions: ArrayLike,
    demonstration_ids: ArrayLike,
    ks: Sequence[int] | None = None,
    bandwidths: Sequence[float] | None = None,
    gripper: ArrayLike | None = None,
    gripper_weight: float = 1.0,
) -> Selection:
    """Score every pair of k and bandwidth by leave-one-demonstration-out; see the module's text.

    Args:
        embeddings: (N, D).
        actions: (N, 3) translations.
        demonstration_ids: (N,) equal for frames of the same demonstration.
        ks: grid of k; by default `DEFAULT_KS` as far as there are frames.
        bandwidths: grid of bandwidths; by default `BANDWIDTH_MULTIPLES` of the median distance
            between frames and their nearest in other demonstrations, and the paper's 1.0.
        gripper: (N,) states 0..3; None leaves the gripper out of the criterion.
        gripper_weight: w of the criterion.

    Raises:
        DatasetError: fewer than 2 demonstrations.
        ConfigError: an empty or impossible grid, or a negative weight.
    """
    delta = np.asarray(actions, np.float64)
    ids = np.asarray(demonstration_ids, np.int64)
    if gripper_weight < 0:
        raise ConfigError(f"gripper_weight: {gripper_weight}; allowed: >= 0")
    available = int(len(ids) - np.bincount(np.unique(ids, return_inverse=True)[1]).max())
    if ks is None:
        ks = [k for k in DEFAULT_KS if k <= max(available, 1)]
    if not ks or min(ks) < 1:
        raise ConfigError(f"ks: {list(ks)}; allowed: at least one, each >= 1")
    distances, rows = neighbors_in_other_demonstrations(embeddings, ids, max(ks))
    median = float(np.median(distances[:, 0]))
    if bandwidths is None:
        bandwidths = sorted({PAPER_BANDWIDTH, *(m * median for m in BANDWIDTH_MULTIPLES)} - {0.0})
    if not bandwidths or min(bandwidths) <= 0:
        raise ConfigError(f"bandwidths: {list(bandwidths)}; allowed: at least one, each > 0")

    # Translation and gripper are averaged by the same weights: one (N, 4) target.
    states = np.zeros(len(ids)) if gripper is None else np.asarray(gripper, np.float64)
    targets = np.column_stack([delta, states])
    variance = ((targets - targets.mean(axis=0)) ** 2).mean(axis=0)
    translation_variance = max(float(variance[:3].mean()), np.finfo(float).tiny)
    gripper_variance = max(float(variance[3]), np.finfo(float).tiny)
    table = []
    for bandwidth in bandwidths:
        squared_error = _squared_errors(distances, targets[rows], targets, bandwidth)
        for k in ks:
            translation = float(squared_error[k - 1, :3].mean())
            closing = float(squared_error[k - 1, 3])
            score = translation / translation_variance
            if gripper is not None:
                score += gripper_weight * closing / gripper_variance
            table.append(
                SelectionRow(
                    k, bandwidth, translation, closing if gripper is not None else np.nan, score
                )
            )
    table.sort(key=lambda row: (row.score, row.k, row.bandwidth != PAPER_BANDWIDTH))
    return Selection(table[0].k, table[0].bandwidth, tuple(table), median)


def _squared_errors(
    distances: NDArray[np.float64],
    neighbor_targets: NDArray[np.float64],
    targets: NDArray[np.float64],
    bandwidth: float,
) -> NDArray[np.float64]:
    """Mean squared error of each target (K, C) for k = 1..K at once.

    Neighbours come nearest first, so the weighted mean over the first k is a ratio of running sums.

    Args:
        distances: (N, K).
        neighbor_targets: (N, K, C).
        targets: (N, C).
        bandwidth: h.
    """
    kernel = np.exp(-(distances - distances[:, :1]) / bandwidth)
    sums = np.cumsum(kernel[:, :, None] * neighbor_targets, axis=1)
    predicted = sums / np.cumsum(kernel, axis=1)[:, :, None]
    errors: NDArray[np.float64] = ((predicted - targets[:, None]) ** 2).mean(axis=0)
    return errors
