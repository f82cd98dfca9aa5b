"""The policy artefact: one folder with all that a policy needs on a robot.

    manifest.json    PolicyManifest
    frames.parquet   one row per frame: demonstration, frame, dx, dy, dz, gripper,
                     thumbnail_offset, thumbnail_size
    thumbnails.bin   small JPEGs, one after the other
    embeddings.npy   (N, D) float32, or float16             (kinds "vinn" and "darp" only)
    metric.npz       mean and matrix of a linear metric     (kind "vinn" with a metric only)
    novelty.npz      the demonstrations' subspace           (kind "vinn", novelty "subspace" only)
    heads.npz        trained heads                          (kinds "bc", "ibc" and "darp" only)
    encoder/         the encoder artefact they were made with (not with controls)
    grasp_point/     the detector of `vinn train grasp-point` (with `grasp_point` only)
    index/           what a fast search prepared (`vinn.retrieval.index`); optional, may be removed
    SHA256SUMS       of every file but those of index/, which has hashes of its own

It is built beside its goal and renamed when complete. Whatever does not belong together is refused
when it is opened, with both values named.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.demos.actions import checked_actions
from vinn.demos.checksums import check_listed, read_checksums
from vinn.demos.frames import decode_jpeg
from vinn.demos.types import ActionScale
from vinn.encoders.artefact import check_files, parse_manifest
from vinn.encoders.artefact import read_manifest as read_encoder_manifest
from vinn.encoders.encoder import load_encoder
from vinn.encoders.network import Precision
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError, ImageError
from vinn.policies.augmentation import ORIGINAL
from vinn.policies.bc import BehaviourCloningPolicy
from vinn.policies.darp import DarpPolicy
from vinn.policies.features import MAX_CONTEXT, Features, load_metric
from vinn.policies.grasp.detector import load_detector, read_grasp_manifest
from vinn.policies.grasp.point import KEY_SIZE, GraspMemory, GraspPointSettings, grasp_key
from vinn.policies.ibc import ImplicitPolicy
from vinn.policies.memory import ActionMemory
from vinn.policies.mlp import load_heads
from vinn.policies.novelty import NoveltyMeasure, Subspace, load_subspace
from vinn.policies.open_loop import OpenLoopPolicy
from vinn.policies.progress import ProgressSettings
from vinn.policies.random import RandomPolicy
from vinn.policies.types import Policy
from vinn.policies.vinn import VinnPolicy
from vinn.reading.arrays import check_finite, read_npy
from vinn.reading.regular import check_regular, open_regular, read_bytes
from vinn.reading.tables import read_table
from vinn.retrieval.index import open_index, search_over
from vinn.retrieval.neighbors import Neighbors

SCHEMA_VERSION = 1
METRIC_FILE = "metric.npz"
NOVELTY_FILE = "novelty.npz"
INDEX_FOLDER = "index"
GRASP_FOLDER = "grasp_point"

FRAME_COLUMNS = pa.schema(
    [
        pa.field("demonstration", pa.string(), nullable=False),
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("dx", pa.float32(), nullable=False),
        pa.field("dy", pa.float32(), nullable=False),
        pa.field("dz", pa.float32(), nullable=False),
        pa.field("gripper", pa.int8(), nullable=False),
        pa.field("thumbnail_offset", pa.int64(), nullable=False),
        pa.field("thumbnail_size", pa.int32(), nullable=False),
    ]
)


class PolicyKind(str, Enum):
    """Which method an artefact holds."""

    VINN = "vinn"
    OPEN_LOOP = "open_loop"
    RANDOM = "random"
    BC = "bc"
    IBC = "ibc"
    DARP = "darp"


Storage = Literal["float32", "float16"]

NEAREST = (PolicyKind.VINN, PolicyKind.DARP)
"""Kinds that look for nearest frames; their settings are the manifest's `vinn`."""
PARAMETRIC = (PolicyKind.BC, PolicyKind.IBC)
"""Kinds whose answer is computed by a trained head, and not from the demonstrations' actions."""


class MetricKind(str, Enum):
    """How embeddings are compared."""

    EUCLIDEAN = "euclidean"
    PCA_WHITENING = "pca-whitening"
    NCA = "nca"


class GraspPointRecord(BaseModel):
    """What a policy that compares grasp points needs to know of how its features were made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: GraspPointSettings
    detector_hash: str
    """Of the detector's network."""
    feature_unit: float = Field(gt=0)
    """u: usual distance of nearest embeddings."""
    phases: int = Field(ge=1)
    """That the demonstrations have."""


class VinnSettings(BaseModel):
    """What a nearest-neighbour policy needs to know besides actions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder_name: str
    encoder_hash: str
    preprocessing: Preprocessing
    dimension: int = Field(gt=0)
    k: int = Field(ge=1)
    bandwidth: float = Field(gt=0, allow_inf_nan=False)
    project_to_unit: bool = False
    novelty: NoveltyMeasure = NoveltyMeasure.NEAREST
    """See `vinn.policies.novelty`."""
    novelty_limit: float | None = Field(default=None, gt=0)
    """Of that measure: above it a view counts as novel; None if the demonstrations are too few to
    tell."""
    novelty_quantile: float = Field(gt=0, le=1)
    """Quantile of the measure, over frames whose own demonstration is left out, that is the
    limit."""
    views: tuple[str, ...] = (ORIGINAL,)
    """Of each demonstration; see `vinn.policies.augmentation`."""
    context: int = Field(default=1, ge=1, le=MAX_CONTEXT)
    """Frames compared together; see `vinn.policies.features`."""
    metric: MetricKind = MetricKind.EUCLIDEAN
    metric_dimension: int | None = Field(default=None, gt=0)
    """Length of a stored vector where there is a metric."""
    progress: ProgressSettings | None = None
    """Prior over progress; None is off."""
    grasp_point: GraspPointRecord | None = None
    """See `vinn.policies.grasp.point`; None is off."""
    storage: Storage = "float32"
    """Type of embeddings.npy."""
    head_length: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Kind "darp": what its network calls 1, in the manifest's `action_scale`."""

    @property
    def stored_dimension(self) -> int:
        """Length of a vector in embeddings.npy."""
        of_embeddings = self.metric_dimension or self.context * self.dimension
        return of_embeddings + (KEY_SIZE if self.grasp_point is not None else 0)


class ParametricSettings(BaseModel):
    """What a trained policy needs to know besides its heads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder_name: str
    encoder_hash: str
    preprocessing: Preprocessing
    dimension: int = Field(gt=0)
    length: float = Field(gt=0, allow_inf_nan=False)
    """What the translation head calls 1, in the manifest's `action_scale`."""
    samples: int = Field(default=256, ge=2)
    """Kind "ibc": samples of the derivative-free optimiser."""
    iterations: int = Field(default=3, ge=1)
    """Kind "ibc": its rounds."""


class PolicyManifest(BaseModel):
    """Contents of a policy's `manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    kind: PolicyKind
    name: str
    action_scale: ActionScale
    demonstration_count: int = Field(ge=1)
    frame_count: int = Field(ge=1)
    dataset_hash: str
    seed: int = 0
    """Of kinds "random" and "ibc"."""
    vinn: VinnSettings | None = None
    """None for the other kinds."""
    parametric: ParametricSettings | None = None
    """Of kinds "bc" and "ibc"; None for the other kinds."""
    files: dict[str, str]
    """SHA-256 of each data file."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Where the demonstrations came from and how settings were chosen."""


@dataclass(frozen=True)
class PolicyArtefact:
    """An artefact whose parts were found to belong together.

    Attributes:
        directory: where it lies.
        manifest: what it is.
        memory: actions of its N frames.
        thumbnail_spans: (N, 2) offset and size in `thumbnails.bin` [bytes].
    """

    directory: Path
    manifest: PolicyManifest
    memory: ActionMemory
    thumbnail_spans: NDArray[np.int64]

    @cached_property
    def embeddings(self) -> NDArray[np.floating]:
        """(N, D) in the settings' storage, finite, mapped from disk.

        Raises:
            ArtefactError: the kind has none, or the file is malformed or not finite.
            ArtefactMismatchError: its shape is not the manifest's.
        """
        path = self.directory / "embeddings.npy"
        settings = self._vinn_settings()
        embeddings = read_npy(path, ArtefactError, mapped=True)
        wanted = (self.manifest.frame_count, settings.stored_dimension)
        if embeddings.shape != wanted or embeddings.dtype != settings.storage:
            raise ArtefactMismatchError(
                f"{path}: {embeddings.shape} of {embeddings.dtype}, the manifest says {wanted} "
                f"of {settings.storage}"
            )
        check_finite(embeddings, path, ArtefactError)
        return embeddings

    def neighbors(self) -> Neighbors:
        """The search over the embeddings: by the artefact's index, or as their number asks for.

        Raises:
            ArtefactError, ArtefactMismatchError: the index is damaged or of other embeddings.
        """
        index = self.directory / INDEX_FOLDER
        if index.is_dir():
            return open_index(index, self.embeddings, self.manifest.files["embeddings.npy"])
        return search_over(self.embeddings)

    def thumbnail(self, index: int) -> NDArray[np.uint8]:
        """The small image (h, w, 3) uint8 RGB of frame `index` (`Neighbor.index`).

        Raises:
            IndexError: index is not in 0..N-1.
            ArtefactError: the file is damaged.
        """
        if not 0 <= index < len(self.memory):
            raise IndexError(f"thumbnail {index} of {len(self.memory)} frames")
        offset, size = (int(value) for value in self.thumbnail_spans[index])
        path = self.directory / "thumbnails.bin"
        try:
            with open_regular(path, ArtefactError) as file:
                file.seek(offset)
                return decode_jpeg(file.read(size), f"{path}: thumbnail {index}")
        except (OSError, ImageError) as cause:
            raise ArtefactError(f"{path}: thumbnail {index} cannot be read: {cause}") from cause

    def policy(
        self,
        threads: int = 1,
        k: int | None = None,
        bandwidth: float | None = None,
        precision: Precision = "fp32",
        neighbors: Neighbors | None = None,
    ) -> Policy:
        """The policy, ready to predict.

        Args:
            threads: CPU threads of the encoder.
            k: other than the manifest's (kind "vinn" only).
            bandwidth: other than the manifest's (kind "vinn" only).
            precision: of the encoder; see `load_encoder`.
            neighbors: another search over the same rows, e.g. in a database; None: the artefact's.

        Raises:
            ArtefactError, ArtefactMismatchError: parts are damaged or do not belong together.
            ConfigError: k is larger than the number of frames, or a setting is out of range.
        """
        if self.manifest.kind is PolicyKind.OPEN_LOOP:
            return OpenLoopPolicy(self.memory)
        if self.manifest.kind is PolicyKind.RANDOM:
            return RandomPolicy(self.memory, self.manifest.seed)
        if self.manifest.parametric is not None:
            return self._parametric_policy(self.manifest.parametric, threads, precision)
        settings = self._vinn_settings()
        parts: dict[str, Any] = {
            "encoder": load_encoder(self.directory / "encoder", threads, precision),
            "neighbors": self.neighbors() if neighbors is None else neighbors,
            "memory": self.memory,
            "k": settings.k if k is None else k,
            "bandwidth": settings.bandwidth if bandwidth is None else bandwidth,
            "novelty_limit": settings.novelty_limit,
            "project_to_unit": settings.project_to_unit,
            "features": self.features,
            "progress": settings.progress,
            "subspace": self.subspace,
            "grasp": self._grasp_memory(threads, precision),
        }
        if self.manifest.kind is PolicyKind.VINN:
            return VinnPolicy(**parts)
        return DarpPolicy(
            **parts,
            features_of_rows=self.embeddings,
            head=load_heads(self.directory / "heads.npz", ("adjust",))["adjust"],
            length=settings.head_length or 0.0,
        )

    @cached_property
    def features(self) -> Features:
        """How embeddings become what `embeddings` holds (kind "vinn" only).

        Raises:
            ArtefactError: the kind has none, or metric.npz is malformed.
        """
        settings = self._vinn_settings()
        if settings.metric is MetricKind.EUCLIDEAN:
            return Features(settings.context)
        return Features(settings.context, load_metric(self.directory / METRIC_FILE))

    @cached_property
    def subspace(self) -> Subspace | None:
        """What novelty is measured against; None where it is the nearest distance.

        Raises:
            ArtefactError: the kind has no novelty, or novelty.npz is malformed.
        """
        settings = self._vinn_settings()
        if settings.novelty is NoveltyMeasure.NEAREST:
            return None
        return load_subspace(self.directory / NOVELTY_FILE, settings.dimension)

    def _grasp_memory(self, threads: int, precision: Precision) -> GraspMemory | None:
        record = self._vinn_settings().grasp_point
        if record is None:
            return None
        detector = load_detector(self.directory / GRASP_FOLDER, threads, precision)
        return GraspMemory(
            detector,
            grasp_key(record.settings, record.feature_unit, detector.manifest),
            record.settings,
            record.phases,
        )

    def _parametric_policy(
        self, settings: ParametricSettings, threads: int, precision: Precision
    ) -> Policy:
        encoder = load_encoder(self.directory / "encoder", threads, precision)
        scale = self.manifest.action_scale
        if self.manifest.kind is PolicyKind.BC:
            heads = load_heads(self.directory / "heads.npz", ("action", "gripper"))
            return BehaviourCloningPolicy(
                encoder, heads["action"], heads["gripper"], settings.length, scale
            )
        heads = load_heads(self.directory / "heads.npz", ("energy", "gripper"))
        return ImplicitPolicy(
            encoder,
            heads["energy"],
            heads["gripper"],
            settings.length,
            scale,
            settings.samples,
            settings.iterations,
            self.manifest.seed,
        )

    def _vinn_settings(self) -> VinnSettings:
        if self.manifest.vinn is None:
            raise ArtefactError(
                f"{self.directory}: kind '{self.manifest.kind.value}' has no embeddings"
            )
        return self.manifest.vinn


def open_artefact(directory: Path) -> PolicyArtefact:
    """Open a policy artefact and check that its parts belong together.

    Raises:
        ArtefactError: a part is missing or malformed.
        ArtefactMismatchError: parts do not belong together; both values are named.
        ConfigError: k is larger than the number of frames.
    """
    directory = Path(directory)
    path = directory / "manifest.json"
    if not directory.is_dir():
        raise ArtefactError(f"{directory}: no such policy artefact")
    manifest = parse_manifest(path, PolicyManifest)
    if manifest.schema_version != SCHEMA_VERSION:
        raise ArtefactError(
            f"{path}: schema version {manifest.schema_version}, this version reads {SCHEMA_VERSION}"
        )
    if (manifest.kind in NEAREST) != (manifest.vinn is not None):
        raise ArtefactError(f"{path}: kind '{manifest.kind.value}' and section 'vinn' disagree")
    if (manifest.kind in PARAMETRIC) != (manifest.parametric is not None):
        raise ArtefactError(
            f"{path}: kind '{manifest.kind.value}' and section 'parametric' disagree"
        )
    wanted = data_files(manifest.kind, manifest.vinn)
    if set(manifest.files) != set(wanted):
        raise ArtefactError(
            f"{path}: files must be {', '.join(wanted)}, found "
            f"{', '.join(sorted(manifest.files)) or 'none'}"
        )
    check_files(directory, manifest.files)
    for settings in (manifest.vinn, manifest.parametric):
        if settings is not None:
            _check_encoder(directory, settings)
    if manifest.vinn is not None and manifest.vinn.grasp_point is not None:
        _check_detector(directory / GRASP_FOLDER, manifest, manifest.vinn.grasp_point)
    if manifest.vinn is not None and manifest.vinn.k > manifest.frame_count:
        raise ConfigError(
            f"{path}: k: {manifest.vinn.k} neighbours of {manifest.frame_count} demonstration "
            f"frames; allowed: 1..{manifest.frame_count}"
        )
    memory, spans = _read_frames(directory / "frames.parquet", manifest)
    artefact = PolicyArtefact(directory, manifest, memory, spans)
    if manifest.vinn is not None:
        artefact.embeddings  # noqa: B018  (raises where the shape is wrong)
    # Last: what does not belong together was named with both values above.
    listed = read_checksums(directory, ArtefactError)
    check_listed(read_bytes(path, ArtefactError), path, listed, ArtefactError)
    return artefact


def load_policy(directory: Path, threads: int = 1) -> Policy:
    """Open an artefact and make its policy: a `VinnPolicy`, or the control that `kind` says.

    Raises:
        ArtefactError, ArtefactMismatchError, ConfigError: see `open_artefact`.
    """
    return open_artefact(directory).policy(threads)


def data_files(kind: PolicyKind, settings: VinnSettings | None = None) -> tuple[str, ...]:
    """The hashed files of an artefact of this kind."""
    shared = ("frames.parquet", "thumbnails.bin")
    if kind in PARAMETRIC:
        return (*shared, "heads.npz")
    if kind not in NEAREST:
        return shared
    files: tuple[str, ...] = (*shared, "embeddings.npy")
    if kind is PolicyKind.DARP:
        files = (*files, "heads.npz")
    if settings is not None and settings.metric is not MetricKind.EUCLIDEAN:
        files = (*files, METRIC_FILE)
    if settings is not None and settings.novelty is not NoveltyMeasure.NEAREST:
        files = (*files, NOVELTY_FILE)
    return files


def _check_encoder(directory: Path, settings: VinnSettings | ParametricSettings) -> None:
    encoder = read_encoder_manifest(directory / "encoder")
    pairs = {
        "hash": (encoder.hash[:12], settings.encoder_hash[:12]),
        "dimension": (encoder.dimension, settings.dimension),
        "preprocessing": (encoder.preprocessing, settings.preprocessing),
    }
    for what, (found, wanted) in pairs.items():
        if found != wanted:
            raise ArtefactMismatchError(
                f"{directory / 'encoder'}: encoder {encoder.name} has {what} {found}, the "
                f"policy was built with {what} {wanted} ({settings.encoder_name})"
            )


def _check_detector(directory: Path, manifest: PolicyManifest, record: GraspPointRecord) -> None:
    found = read_grasp_manifest(directory)
    pairs = {
        "network": (found.network_hash[:12], record.detector_hash[:12]),
        "action scale": (found.action_scale.value, manifest.action_scale.value),
    }
    for what, (there, wanted) in pairs.items():
        if there != wanted:
            raise ArtefactMismatchError(
                f"{directory}: detector with {what} {there}, the policy was built with {wanted}"
            )


def _read_frames(path: Path, manifest: PolicyManifest) -> tuple[ActionMemory, NDArray[np.int64]]:
    table = read_table(path, ArtefactError)
    if table.schema.remove_metadata() != FRAME_COLUMNS:
        raise ArtefactError(f"{path}: columns must be {', '.join(FRAME_COLUMNS.names)}")
    if table.num_rows != manifest.frame_count:
        raise ArtefactMismatchError(
            f"{path}: {table.num_rows} frames, the manifest says {manifest.frame_count}"
        )
    names, ids = np.unique(table["demonstration"].to_numpy(), return_inverse=True)
    views = len(manifest.vinn.views) if manifest.vinn is not None else 1
    if len(names) != manifest.demonstration_count * views:
        raise ArtefactMismatchError(
            f"{path}: {len(names)} demonstrations, the manifest says {manifest.demonstration_count}"
            + (f" in {views} views" if views > 1 else "")
        )
    memory = ActionMemory(
        camera_delta=np.stack([table[axis].to_numpy() for axis in ("dx", "dy", "dz")], axis=1),
        gripper=table["gripper"].to_numpy(),
        demonstration_ids=ids.astype(np.int64),
        frames=table["frame"].to_numpy(),
        names=tuple(str(name) for name in names),
        action_scale=manifest.action_scale,
    )
    checked_actions(
        memory.camera_delta, memory.gripper, manifest.action_scale, str(path), ArtefactError
    )
    spans = np.stack(
        [table["thumbnail_offset"].to_numpy(), table["thumbnail_size"].to_numpy()], axis=1
    )
    spans = spans.astype(np.int64)
    most = check_regular(path.with_name("thumbnails.bin"), ArtefactError)
    # Compared so that no sum of two large numbers wraps around.
    if ((spans < 0) | (spans > most)).any() or (spans[:, 0] > most - spans[:, 1]).any():
        raise ArtefactError(f"{path}: a thumbnail lies outside of thumbnails.bin ({most} bytes)")
    return memory, spans
