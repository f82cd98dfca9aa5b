"""Visual Imitation through Nearest Neighbors, as in the paper (section III-B).

    e      = encoder(image)                                      the query's embedding
    d_i    = ||e - e_i||_2                                       to every demonstration frame
    w_i    = exp(-d_i) / sum_j exp(-d_j)                         softmin over the k nearest
    action = sum_i w_i a_i                                       translation and gripper alike

Options go beyond the paper and are off by default: a kernel bandwidth h, which replaces d_i by
d_i / h; projection of the translation to unit length; several frames of context and a learned
metric (`vinn.policies.features`); a prior over progress (`vinn.policies.progress`); the way to
where the gripper will close (`vinn.policies.grasp.point`); another measure of novelty
(`vinn.policies.novelty`).
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale, GripperState
from vinn.encoders.encoder import Encoder
from vinn.errors import ArtefactMismatchError, ImageError
from vinn.policies.features import Features
from vinn.policies.grasp.detector import GraspView
from vinn.policies.grasp.point import GraspMemory
from vinn.policies.memory import GRIPPER_STATES, ActionMemory
from vinn.policies.novelty import Subspace
from vinn.policies.parts import StepTrace, check_parts
from vinn.policies.progress import ProgressPrior, ProgressSettings
from vinn.policies.types import Prediction, TakenStep
from vinn.retrieval.neighbors import Neighbors
from vinn.robot.types import ReasonCode

PAPER_K = 10
"""Paper, figure 6: about 10 is best, no gain past 20."""
PAPER_BANDWIDTH = 1.0
SHORTEST_PROJECTED = 1e-6
"""A mean shorter than this has no direction and is not projected to unit length."""


def softmin_weights(
    distances: NDArray[np.float64], bandwidth: float = PAPER_BANDWIDTH
) -> NDArray[np.float64]:
    """Weights exp(-d_i / h) / sum_j exp(-d_j / h) of k distances (k,); they sum to 1.

    The nearest distance is subtracted first: it cancels, and keeps exp from underflowing.
    """
    kernel = np.exp(-(distances - distances.min()) / bandwidth)
    return kernel / kernel.sum()


class VinnPolicy:
    """The paper's policy over a memory of demonstration frames."""

    def __init__(
        self,
        encoder: Encoder,
        neighbors: Neighbors,
        memory: ActionMemory,
        k: int = PAPER_K,
        bandwidth: float = PAPER_BANDWIDTH,
        novelty_limit: float | None = None,
        project_to_unit: bool = False,
        features: Features | None = None,
        progress: ProgressSettings | None = None,
        subspace: Subspace | None = None,
        grasp: GraspMemory | None = None,
    ) -> None:
        """Bind an encoder, the search over its features, and the actions of the same frames.

        Raises:
            ConfigError: k is not in 1..N or bandwidth is not positive.
            ArtefactMismatchError: encoder, embeddings and memory do not belong together.
        """
        self.features = features or Features()
        check_parts(encoder, neighbors, memory, self.features, grasp, k, bandwidth)
        self.encoder, self.neighbors, self.memory = encoder, neighbors, memory
        self.k, self.bandwidth = k, bandwidth
        self.novelty_limit, self.project_to_unit = novelty_limit, project_to_unit
        self.progress = None if progress is None else ProgressPrior(memory, progress)
        self.subspace, self.grasp = subspace, grasp
        self._history: deque[NDArray[np.float32]] = deque(maxlen=self.features.context - 1)

    @property
    def action_scale(self) -> ActionScale:
        """See `Policy.action_scale`."""
        return self.memory.action_scale

    def reset(self) -> None:
        """Forget earlier steps' frames and progress, where the policy looks at them."""
        self._history.clear()
        if self.progress is not None:
            self.progress.reset()
        if self.grasp is not None:
            self.grasp.reset()

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """See `Policy.predict`."""
        start = time.perf_counter()
        resized = self.encoder.preprocessing.resize(image_rgb)
        preprocessed = time.perf_counter()
        embedding = self.encoder.encode(resized)
        view = None if self.grasp is None else self.grasp.look(image_rgb)
        looked = time.perf_counter()
        prediction = self.predict_embedding(embedding, view)
        stages = {"preprocess": preprocessed - start, "encode": looked - preprocessed}
        return dataclasses.replace(prediction, latency_s={**stages, **prediction.latency_s})

    def predict_embedding(
        self, embedding: NDArray[np.float32], view: GraspView | None = None
    ) -> Prediction:
        """Predict from the embedding (D,) of an image, and the grasp point's view of it.

        Raises:
            ImageError: the embedding is not finite.
            ArtefactMismatchError: its length is not the encoder's, or there is no view and the
                policy compares grasp points.
        """
        start = time.perf_counter()
        if not np.isfinite(embedding).all():
            raise ImageError("the embedding of the image is not finite")
        if embedding.shape != (self.encoder.dimension,):
            raise ArtefactMismatchError(
                f"query embedding has shape {embedding.shape}, the stored ones have length "
                f"{self.encoder.dimension}"
            )
        query = self.features.of_history((*self._history, embedding))
        grasp = None if self.grasp is None else self.grasp.query(view)
        if grasp is not None:
            query = np.concatenate([query, grasp.key])
        distances, rows = self.neighbors.search(query, self.k)
        weights = softmin_weights(distances, self.bandwidth)
        if self.progress is not None:
            weights = self.progress.reweigh(weights, rows)
        camera_delta, probabilities = self.combine(query, rows, weights)
        if self.project_to_unit:
            length = np.linalg.norm(camera_delta)
            camera_delta = camera_delta / length if length > SHORTEST_PROJECTED else camera_delta
        if grasp is not None and grasp.back_off is not None:
            camera_delta, probabilities = grasp.back_off, np.eye(GRIPPER_STATES)[GripperState.OPEN]
        return Prediction(
            camera_delta=camera_delta,
            gripper_value=float(probabilities @ np.arange(GRIPPER_STATES)),
            gripper_probabilities=probabilities,
            action_scale=self.memory.action_scale,
            neighbors=self.memory.neighbors(rows, distances, weights),
            novelty=self._novelty(embedding, float(distances[0])),
            latency_s={"retrieve": time.perf_counter() - start},
            grasp_point=None if grasp is None else grasp.point,
            refusal=ReasonCode.NO_GRASP_POINT if grasp is not None and grasp.lost else None,
            trace=StepTrace(embedding, None if grasp is None else grasp.belief),
        )

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        """See `Policy.advance`: its image and neighbours are those of the step before now."""
        trace = StepTrace.of(prediction, self.grasp is not None)
        if self._history.maxlen:
            self._history.append(trace.embedding)
        if self.progress is not None:
            self.progress.advance(prediction.neighbors)
        if self.grasp is not None and trace.belief is not None:
            self.grasp.advance(trace.belief, step)

    def combine(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Translation (3,) and gripper states' probabilities (4,) from the neighbours' actions."""
        camera_delta = weights @ self.memory.camera_delta[rows].astype(np.float64)
        return camera_delta, weights @ np.eye(GRIPPER_STATES)[self.memory.gripper[rows]]

    def _novelty(self, embedding: NDArray[np.float32], nearest: float) -> float:
        """See `vinn.policies.novelty`; NaN without a limit."""
        if not self.novelty_limit:
            return np.nan
        if self.subspace is None:
            return nearest / self.novelty_limit
        return float(self.subspace.residual(embedding[None])[0]) / self.novelty_limit
