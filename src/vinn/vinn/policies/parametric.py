"""What cloned policies share at run time: encoder, gripper head, units."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.encoders.encoder import Encoder
from vinn.errors import ArtefactMismatchError, ConfigError, ImageError
from vinn.policies.memory import GRIPPER_STATES
from vinn.policies.mlp import Mlp
from vinn.policies.types import Prediction, TakenStep


class ParametricPolicy:
    """An encoder, a head for the translation and a linear one for the four gripper states."""

    def __init__(
        self, encoder: Encoder, gripper: Mlp, length: float, action_scale: ActionScale
    ) -> None:
        """Bind the parts.

        Args:
            encoder: image to embedding (D,).
            gripper: (D,) to logits of the four states.
            length: what the translation head calls 1, in the unit of `action_scale`.
            action_scale: unit of the predictions.

        Raises:
            ArtefactMismatchError: a head does not fit the encoder.
            ConfigError: `length` is not positive.
        """
        check_head("gripper", gripper, encoder.dimension, GRIPPER_STATES)
        if not (length > 0 and np.isfinite(length)):
            raise ConfigError(f"length: {length}; allowed: finite and > 0")
        self.encoder, self.gripper, self.length = encoder, gripper, length
        self._action_scale = action_scale

    @property
    def action_scale(self) -> ActionScale:
        """See `Policy.action_scale`."""
        return self._action_scale

    def reset(self) -> None:
        """Nothing to forget: every frame is judged by itself."""

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """See `Policy.predict`."""
        start = time.perf_counter()
        resized = self.encoder.preprocessing.resize(image_rgb)
        preprocessed = time.perf_counter()
        embedding = self.encoder.encode(resized)
        encoded = time.perf_counter()
        return self._predict(
            embedding, {"preprocess": preprocessed - start, "encode": encoded - preprocessed}
        )

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        """Nothing to remember."""

    def predict_embedding(self, embedding: NDArray[np.float32]) -> Prediction:
        """Predict from the embedding (D,) of an image.

        Raises:
            ImageError: the embedding is not finite.
            ArtefactMismatchError: its length is not the encoder's.
        """
        return self._predict(embedding, {})

    def direction(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """The translation (3,) in units of `length`: what a method adds to this class."""
        raise NotImplementedError

    def _predict(self, embedding: NDArray[np.float32], latency_s: dict[str, float]) -> Prediction:
        start = time.perf_counter()
        if embedding.shape != (self.encoder.dimension,):
            raise ArtefactMismatchError(
                f"embedding of shape {embedding.shape}, the encoder gives "
                f"({self.encoder.dimension},)"
            )
        if not np.isfinite(embedding).all():
            raise ImageError("the embedding of the image is not finite")
        logits = self.gripper(embedding).astype(np.float64)
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        camera_delta = self.length * self.direction(embedding)
        return Prediction(
            camera_delta=camera_delta,
            gripper_value=float(probabilities @ np.arange(GRIPPER_STATES)),
            gripper_probabilities=probabilities,
            action_scale=self._action_scale,
            latency_s={**latency_s, "head": time.perf_counter() - start},
        )


def check_head(name: str, head: Mlp, inputs: int, outputs: int) -> None:
    """Refuse a head of the wrong size.

    Raises:
        ArtefactMismatchError: both sizes are named.
    """
    if (head.inputs, head.outputs) != (inputs, outputs):
        raise ArtefactMismatchError(
            f"head '{name}' maps {head.inputs} to {head.outputs} values, wanted {inputs} to "
            f"{outputs}"
        )
