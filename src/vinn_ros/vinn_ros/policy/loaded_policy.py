"""A policy artefact in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vinn.demos.files import sha256_file
from vinn.encoders.network import Precision
from vinn.errors import ArtefactError, ConfigError
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.artefact import PolicyArtefact
from vinn.policies.episode import Episode
from vinn.policies.kinds.nearest import VinnSettings
from vinn.policies.types import Prediction
from vinn.policies.vinn import VinnPolicy


class LoadedPolicy:
    """A policy artefact, and the rollout it acts in."""

    episode: Episode
    """Is told of rollouts and steps."""

    def __init__(self, directory: Path, threads: int, precision: Precision = "fp32") -> None:
        """Load an artefact; `precision` is the encoder's, see `vinn.encoders.encoder.load_encoder`.

        Raises:
            vinn.errors.ArtefactError: a part is missing, damaged, or does not belong.
        """
        try:
            self.artefact: PolicyArtefact[Any] = open_artefact(directory)
        except (OSError, ValueError) as error:  # a name that no disk can have
            raise ArtefactError(f"{str(directory)!r}: no policy artefact: {error}") from error
        self.label = (
            f"{self.artefact.manifest.name}@{sha256_file(directory / 'manifest.json')[:12]}"
        )
        self._policy = self.artefact.policy(threads=threads, precision=precision)
        self.begin_anew()

    def use_neighbors(self, k: int) -> None:
        """Let `k` neighbours speak; 0: as many as the artefact says.

        Raises:
            vinn.errors.ConfigError: the policy has no neighbours, or fewer frames.
        """
        settings = self.artefact.settings
        if not isinstance(self._policy, VinnPolicy) or not isinstance(settings, VinnSettings):
            if k:
                raise ConfigError(f"k: {k}; policy {self.label} has no neighbours; allowed: 0")
            return
        frames = len(self.artefact.memory)
        if k > frames:
            raise ConfigError(f"k: {k} neighbours of {frames} demonstration frames")
        self._policy.k = k or settings.k

    def begin_anew(self) -> None:
        """Forget rollouts, steps and predictions."""
        self.episode = Episode(self._policy)

    def predict(self, image_rgb: NDArray[np.uint8], sequence: int) -> Prediction:
        """Predict from one frame, (H, W, 3) uint8 RGB.

        Args:
            image_rgb: the frame.
            sequence: number under which the prediction is published.

        Raises:
            vinn.errors.ImageError: wrong shape or type.
            vinn.errors.ArtefactError: what comes out is not finite.
        """
        prediction = self.episode.predict(image_rgb, sequence)
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
    point = prediction.grasp_point
    if point is not None and not (
        np.shape(point.camera_delta) == np.shape(point.std) == (3,)
        and np.shape(point.image_uv) == np.shape(point.image_std) == (2,)
        and np.isfinite([point.camera_delta, point.std]).all()
        and (np.asarray(point.std) >= 0).all()
    ):
        raise ArtefactError(
            f"policy {label}: its grasp point is not three finite numbers with deviations >= 0"
        )
