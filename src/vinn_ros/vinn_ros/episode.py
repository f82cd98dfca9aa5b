"""A policy and the rollout it acts in: it advances by the steps that were taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vinn.demos.files import sha256_file
from vinn.encoders.network import Precision
from vinn.errors import ArtefactError, ConfigError
from vinn.policies.artefact import PolicyArtefact, open_artefact
from vinn.policies.types import Prediction, unknown_step
from vinn.policies.vinn import VinnPolicy


class LoadedPolicy:
    """A policy artefact in use.

    The node predicts for every image, several times per step of the robot. The policy advances once
    per step, and forgets at the start of a rollout and outside of one.
    """

    def __init__(self, directory: Path, threads: int, precision: Precision = "fp32") -> None:
        """Load an artefact; `precision` is the encoder's, see `vinn.encoders.encoder.load_encoder`.

        Raises:
            vinn.errors.ArtefactError: a part is missing, damaged, or does not belong.
        """
        try:
            self.artefact: PolicyArtefact = open_artefact(directory)
        except (OSError, ValueError) as error:  # a name that no disk can have
            raise ArtefactError(f"{str(directory)!r}: no policy artefact: {error}") from error
        self.label = (
            f"{self.artefact.manifest.name}@{sha256_file(directory / 'manifest.json')[:12]}"
        )
        self._policy = self.artefact.policy(threads=threads, precision=precision)
        self._position: tuple[str, int] | None = None
        self._prediction: Prediction | None = None

    def use_neighbors(self, k: int) -> None:
        """Let `k` neighbours speak; 0: as many as the artefact says.

        Raises:
            vinn.errors.ConfigError: the policy has no neighbours, or fewer frames.
        """
        settings = self.artefact.manifest.vinn
        if not isinstance(self._policy, VinnPolicy) or settings is None:
            if k:
                raise ConfigError(f"k: {k}; policy {self.label} has no neighbours; allowed: 0")
            return
        frames = len(self.artefact.memory)
        if k > frames:
            raise ConfigError(f"k: {k} neighbours of {frames} demonstration frames")
        self._policy.k = k or settings.k

    def predict(self, image_rgb: NDArray[np.uint8], session: str, step: int) -> Prediction:
        """Predict from one frame, (H, W, 3) uint8 RGB.

        Args:
            image_rgb: the frame.
            session: of the running rollout; empty: none runs.
            step: steps taken in it.

        Raises:
            vinn.errors.ImageError: wrong shape or type.
            vinn.errors.ArtefactError: what comes out is not finite.
        """
        position = (session, step) if session else None
        if self._position is None or position is None or position[0] != self._position[0]:
            self._policy.reset()
            self._prediction = None
        elif self._prediction is not None:
            for _ in range(position[1] - self._position[1]):
                self._policy.advance(self._prediction, unknown_step())
        prediction = self._policy.predict(image_rgb)
        self._position, self._prediction = position, prediction
        _check_finite(prediction, self.label)
        return prediction


def _check_finite(prediction: Prediction, label: str) -> None:
    values = (
        *prediction.camera_delta,
        prediction.gripper_value,
        *prediction.gripper_probabilities,
    )
    if np.shape(prediction.camera_delta) != (3,) or not np.isfinite(values).all():
        raise ArtefactError(f"policy {label}: its prediction is not three finite numbers")
