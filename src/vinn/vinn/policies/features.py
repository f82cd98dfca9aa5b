"""From the encoder's embeddings to what is compared: several frames of context, a metric.

    x_t = [e_t, c e_(t-1), ..., c e_(t-n+1)]     context of n frames; before the first, the first
    z_t = (x_t - mean) A                         a linear metric: ||z - z'|| instead of ||x - x'||

Both are optional; without them z is e, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.reading.arrays import read_npz
from vinn.retrieval.metric import LinearMetric

CONTEXT_WEIGHT = 0.5
"""c: how much earlier frames count against the present one."""
MAX_CONTEXT = 8


class MetricKind(str, Enum):
    """How embeddings are compared."""

    EUCLIDEAN = "euclidean"
    PCA_WHITENING = "pca-whitening"
    NCA = "nca"


@dataclass(frozen=True)
class Features:
    """How embeddings (D,) of an encoder become features (M,) that are compared.

    Attributes:
        context: frames that are looked at together, 1 as in the paper.
        metric: learned from the demonstrations; None compares plainly.
    """

    context: int = 1
    metric: LinearMetric | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.context <= MAX_CONTEXT:
            raise ConfigError(f"context: {self.context} frames; allowed: 1..{MAX_CONTEXT}")

    def dimension(self, embedding_dimension: int) -> int:
        """M for embeddings of length D.

        Raises:
            ArtefactMismatchError: the metric is for another length.
        """
        inputs = self.context * embedding_dimension
        if self.metric is None:
            return inputs
        if self.metric.inputs != inputs:
            raise ArtefactMismatchError(
                f"the metric takes {self.metric.inputs} values, {self.context} frames of "
                f"{embedding_dimension} make {inputs}"
            )
        return self.metric.outputs

    def of_demonstrations(
        self, embeddings: NDArray[np.float32], demonstration_ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Features (N, M) of embeddings (N, D); frames of a demonstration follow each other."""
        joined = join_context(embeddings, demonstration_ids, self.context)
        return joined if self.metric is None else self.metric(joined)

    def of_history(self, history: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Features (M,) of the last steps' embeddings and, last, the present one."""
        newest_first = list(history)[::-1]
        newest_first += [newest_first[-1]] * (self.context - len(newest_first))
        weights = [np.float32(1 if age == 0 else CONTEXT_WEIGHT) for age in range(self.context)]
        joined = np.concatenate([w * e for w, e in zip(weights, newest_first, strict=False)])
        return joined if self.metric is None else self.metric(joined)


def join_context(
    embeddings: NDArray[np.float32], demonstration_ids: NDArray[np.int64], context: int
) -> NDArray[np.float32]:
    """Each frame's embedding (D,) with those of the frames before it: (N, context * D)."""
    if context == 1:
        return embeddings
    rows = np.arange(len(embeddings))
    first = np.maximum.accumulate(
        np.where(np.diff(demonstration_ids, prepend=demonstration_ids[0] - 1) != 0, rows, 0)
    )
    parts = [embeddings]
    parts += [
        np.float32(CONTEXT_WEIGHT) * embeddings[np.maximum(rows - age, first)]
        for age in range(1, context)
    ]
    return np.concatenate(parts, axis=1)


def save_metric(path: Path, metric: LinearMetric) -> None:
    """Write a metric to an .npz file."""
    with path.open("wb") as file:
        np.savez(file, mean=metric.mean, matrix=metric.matrix)


def load_metric(path: Path) -> LinearMetric:
    """Read a metric; nothing in the file is ever unpickled.

    Raises:
        ArtefactError: missing, malformed, or not finite.
    """
    arrays = read_npz(path, ArtefactError, ("mean", "matrix"))
    mean, matrix = (np.asarray(arrays[key], np.float32) for key in ("mean", "matrix"))
    if matrix.ndim != 2 or mean.shape != matrix.shape[:1]:
        raise ArtefactError(f"{path}: mean {mean.shape} and matrix {matrix.shape} do not fit")
    if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
        raise ArtefactError(f"{path}: the metric is not finite")
    return LinearMetric(mean, matrix)
