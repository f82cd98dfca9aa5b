"""Gripper states from ArUco markers on both fingers: the distance between them, metric."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vinn.errors import ConfigError
from vinn.ingest.lenses.lens import Lens
from vinn.reading.config_file import load_config


class ArucoGripper(BaseModel):
    """Markers on the fingers and what their distance means (YAML file)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dictionary: str = "DICT_4X4_50"
    left_id: int = Field(ge=0)
    right_id: int = Field(ge=0)
    marker_size_m: float = Field(gt=0.002, lt=0.2)
    open_above_m: float
    almost_open_above_m: float
    almost_closed_above_m: float
    """Distance of the markers' centres above which the gripper counts as open, as almost open, as
    almost closed; below the last one it is closed."""

    @model_validator(mode="after")
    def _ordered(self) -> ArucoGripper:
        if not self.open_above_m > self.almost_open_above_m > self.almost_closed_above_m > 0:
            raise ValueError(
                "open_above_m > almost_open_above_m > almost_closed_above_m > 0 must hold"
            )
        if not hasattr(cv2.aruco, self.dictionary):
            raise ValueError(f"unknown ArUco dictionary {self.dictionary}")
        if self.left_id == self.right_id:
            raise ValueError("left_id and right_id must differ")
        return self

    @classmethod
    def load(cls, path: Path) -> ArucoGripper:
        """Read a profile.

        Raises:
            ConfigError: missing or malformed (named).
        """
        return load_config(path, cls)

    def distance_m(self, image_rgb: NDArray[np.uint8], lens: Lens) -> float:
        """Distance of the markers' centres [m]; NaN unless both are seen."""
        settings = cv2.aruco.DetectorParameters()
        settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        detector = cv2.aruco.ArucoDetector(
            cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary)), settings
        )
        corners, ids, _ = detector.detectMarkers(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY))
        if ids is None:
            return float("nan")
        centres = {
            int(marker): self._centre_m(np.asarray(found, np.float64).reshape(4, 2), lens)
            for found, marker in zip(corners, ids.ravel(), strict=True)
        }
        if self.left_id not in centres or self.right_id not in centres:
            return float("nan")
        return float(np.linalg.norm(centres[self.left_id] - centres[self.right_id]))

    def _centre_m(self, corners_px: NDArray[np.float64], lens: Lens) -> NDArray[np.float64]:
        """(3,) centre of a marker in the optical frame."""
        half = self.marker_size_m / 2
        square = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
        rays = lens.unproject(corners_px)
        plane = rays[:, :2] / rays[:, 2:]
        _, _, offset = cv2.solvePnP(square, plane, np.eye(3), None, flags=cv2.SOLVEPNP_IPPE_SQUARE)
        return np.asarray(offset, np.float64).ravel()

    def states(self, distances_m: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N,) states of N successive frames; unseen markers are interpolated over time.

        Raises:
            ConfigError: the markers are seen in less than half of the frames.
        """
        seen = np.isfinite(distances_m)
        if seen.mean() < 0.5:
            raise ConfigError(
                f"ArUco markers {self.left_id} and {self.right_id} seen together in only "
                f"{int(seen.sum())} of {len(seen)} frames; half are needed"
            )
        rows = np.arange(len(distances_m))
        filled = np.interp(rows, rows[seen], distances_m[seen])
        limits = np.array([self.almost_closed_above_m, self.almost_open_above_m, self.open_above_m])
        return np.asarray(3 - np.searchsorted(limits, filled))
