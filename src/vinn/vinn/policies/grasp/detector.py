"""Where in the picture the gripper will close: a small network beside the encoder's.

    logits        of a grid of cells, for each phase: where the gripper changes next
    hand logits   of the same cells: where the point between the finger tips is seen
    depth         logarithm of the change point's distance along the optical axis, and its spread

The network is an encoder artefact (`vinn.encoders`) whose output holds all of them, one after the
other; `grasp_point.json` beside it says how to read it. It is trained by `vinn train grasp-point`
(`vinn.learning.grasp.training`) and runs without torch.

Seeing the hand in the same picture makes up for a camera that sits a little otherwise than it is
configured: what counts is where the point is beside the fingers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from vinn.demos.types import ActionScale
from vinn.encoders.artefact import parse_manifest
from vinn.encoders.encoder import Encoder, load_encoder
from vinn.errors import ArtefactError, ArtefactMismatchError
from vinn.policies.grasp.picture import detail_picture

MANIFEST_FILE = "grasp_point.json"
SCHEMA_VERSION = 1
DEPTH_VALUES = 2
HAND_RADIUS = 0.107
"""How far from its place the hand may be seen, as a share of the image's width: a camera that
sits a few degrees otherwise than configured."""

Vector = tuple[float, float, float]


class GraspCamera(BaseModel):
    """The camera as the detector's input sees it, and the hand before it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    fx_px: float = Field(gt=0)
    fy_px: float = Field(gt=0)
    cx_px: float
    cy_px: float
    hand: Vector
    """The point between the finger tips in the camera's optical axes, in the action scale."""

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) pixels of points (..., 3) in optical axes; NaN behind the camera."""
        depth = np.where(points[..., 2] > 0, points[..., 2], np.nan)
        u = self.fx_px * points[..., 0] / depth + self.cx_px
        return np.stack([u, self.fy_px * points[..., 1] / depth + self.cy_px], axis=-1)

    def rays(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 3) directions of pixels (..., 2), of depth 1."""
        x = (pixels[..., 0] - self.cx_px) / self.fx_px
        y = (pixels[..., 1] - self.cy_px) / self.fy_px
        return np.stack([x, y, np.ones_like(x)], axis=-1)


class PlanePrior(BaseModel):
    """How the plane that is seen around the point lies to it (`vinn.policies.grasp.parallax`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    behind: float
    """How far it lies behind the point, along the gripper's forward axis, in the action scale."""
    std: float = Field(gt=0)
    """Over the demonstrations, errors of the measurement included."""
    hand_cells: tuple[str, ...] = Field(min_length=1, max_length=512)
    """Cells of the image in which the hand is seen, rows from the top: `#`, or `.` where not."""

    @field_validator("hand_cells")
    @classmethod
    def _is_a_grid(cls, rows: tuple[str, ...]) -> tuple[str, ...]:
        columns = len(rows[0])
        if not columns or any(len(row) != columns or set(row) - set("#.") for row in rows):
            raise ValueError(f"rows of one length of '#' and '.' are allowed, got {rows[0][:40]!r}")
        return rows


class PhasePrior(BaseModel):
    """How far the change lies away when a phase begins, over the demonstrations."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: Vector
    std: Vector
    plane: PlanePrior | None = None
    """None: demonstrations do not show one."""


class GraspPointManifest(BaseModel):
    """Contents of `grasp_point.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: int = SCHEMA_VERSION
    action_scale: ActionScale
    unit_m: float = Field(gt=0)
    """Metres of what the actions call 1: 1 if they are metric, else the step's length as
    configured (`motion.scale`)."""
    camera: GraspCamera
    rows: int = Field(gt=0)
    columns: int = Field(gt=0)
    """Cells of the grid."""
    axes_camera: tuple[Vector, Vector, Vector]
    """The gripper's axes right, up and forward, in the camera's optical axes as configured."""
    phases: tuple[PhasePrior, ...] = Field(min_length=1, max_length=8)
    """Phases that end with a change of the gripper, the first first."""
    mirrored: bool
    """Whether it learned from mirrored views as well."""
    dataset_hash: str
    encoder_name: str
    encoder_hash: str
    """The encoder that its feature maps are of."""
    network_hash: str
    """`EncoderManifest.hash` of the detector's own network."""

    @property
    def dimension(self) -> int:
        """Values of the network's output."""
        cells = self.rows * self.columns
        return (len(self.phases) + 1) * cells + DEPTH_VALUES * len(self.phases)


@dataclass(frozen=True)
class GraspView:
    """What the detector sees in one image.

    Attributes:
        log_heat: (P, rows, columns) logarithm of the probability of each cell, for each phase.
        log_hand: (rows, columns) the same of the point between the finger tips.
        log_depth: (P,) logarithm of the distance along the optical axis, in the action scale.
        log_depth_std: (P,) its spread as learned.
        picture: what is compared of the image with earlier ones; None: nothing.
    """

    log_heat: NDArray[np.float64]
    log_hand: NDArray[np.float64]
    log_depth: NDArray[np.float64]
    log_depth_std: NDArray[np.float64]
    picture: NDArray[np.float32] | None = None


class GraspDetector:
    """The detector's network and how to read it. Not thread-safe, as `Encoder`."""

    def __init__(self, manifest: GraspPointManifest, network: Encoder) -> None:
        self.manifest = manifest
        self._network = network

    def look(self, image_rgb: NDArray[np.uint8]) -> GraspView:
        """What it sees in an image (H, W, 3) uint8 RGB.

        Raises:
            ImageError: wrong shape or type.
        """
        resized = self._network.preprocessing.resize(image_rgb)
        view = self.read(self._network.encode(resized))
        if all(phase.plane is None for phase in self.manifest.phases):
            return view
        return replace(view, picture=detail_picture(resized))

    def hand_seen(self, view: GraspView) -> float:
        """Probability, 0..1, that the hand is seen about where the camera's mount says."""
        camera, manifest = self.manifest.camera, self.manifest
        place = camera.project(np.array(camera.hand))
        x = (np.arange(manifest.columns) + 0.5) * camera.width_px / manifest.columns - 0.5
        y = (np.arange(manifest.rows) + 0.5) * camera.height_px / manifest.rows - 0.5
        off = np.hypot(x[None, :] - place[0], y[:, None] - place[1])
        near = off < HAND_RADIUS * camera.width_px
        return float(np.exp(view.log_hand)[near].sum())

    def read(self, output: NDArray[np.float32]) -> GraspView:
        """The view in the network's output (D,)."""
        manifest = self.manifest
        phases, cells = len(manifest.phases), manifest.rows * manifest.columns
        values = output.astype(np.float64)
        logits = values[: (phases + 1) * cells].reshape(phases + 1, cells)
        logits = logits - logits.max(axis=1, keepdims=True)
        logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        maps = logits.reshape(phases + 1, manifest.rows, manifest.columns)
        depth = values[(phases + 1) * cells :].reshape(phases, DEPTH_VALUES)
        return GraspView(maps[:-1], maps[-1], depth[:, 0], np.exp(depth[:, 1]))


def read_grasp_manifest(directory: Path) -> GraspPointManifest:
    """Read and check `grasp_point.json`.

    Raises:
        ArtefactError: missing, malformed, or of another version.
    """
    path = Path(directory) / MANIFEST_FILE
    manifest = parse_manifest(path, GraspPointManifest)
    if manifest.schema_version != SCHEMA_VERSION:
        raise ArtefactError(
            f"{path}: schema version {manifest.schema_version}, this version reads {SCHEMA_VERSION}"
        )
    return manifest


def load_detector(directory: Path, network: Encoder | None = None) -> GraspDetector:
    """Load a detector written by `vinn train grasp-point`.

    Args:
        directory: its folder.
        network: that of the folder, where it is loaded already; see `vinn.encoders.together`.

    Raises:
        ArtefactError: missing, malformed or changed.
        ArtefactMismatchError: the network is not the one that `grasp_point.json` describes.
    """
    directory = Path(directory)
    manifest = read_grasp_manifest(directory)
    network = network or load_encoder(directory)
    if network.hash != manifest.network_hash or network.dimension != manifest.dimension:
        raise ArtefactMismatchError(
            f"{directory}: network {network.hash[:12]} with {network.dimension} values, "
            f"{MANIFEST_FILE} is of {manifest.network_hash[:12]} with {manifest.dimension}"
        )
    return GraspDetector(manifest, network)
