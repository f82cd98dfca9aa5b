"""What the kinds that look for nearest frames have in common: "vinn" and "darp".

embeddings.npy   (N, D) float32, or float16
metric.npz       mean and matrix of a linear metric     (with a metric only)
novelty.npz      the demonstrations' subspace           (novelty "subspace" only)
grasp_point/     the detector of `vinn train grasp-point` (with `grasp_point` only)
index/           what a fast search prepared (`vinn.retrieval.index`); optional, may be removed
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.encoders.encoder import Encoder, load_encoder
from vinn.encoders.preprocessing import Preprocessing
from vinn.encoders.together import load_together
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.policies.artefacts.artefact import LoadOptions, PolicyArtefact
from vinn.policies.artefacts.encoder_copy import FOLDER, check_encoder
from vinn.policies.artefacts.half_precision import Storage
from vinn.policies.artefacts.manifest import INDEX_FOLDER, PolicyManifest
from vinn.policies.augmentation import ORIGINAL
from vinn.policies.features import MAX_CONTEXT, Features, MetricKind, load_metric
from vinn.policies.grasp.detector import load_detector, read_grasp_manifest
from vinn.policies.grasp.point import KEY_SIZE, GraspMemory, GraspPointSettings, grasp_key
from vinn.policies.kinds.kind import PolicyKind
from vinn.policies.novelty import NoveltyMeasure, Subspace, load_subspace
from vinn.policies.progress import ProgressSettings
from vinn.reading.arrays import check_finite, read_npy
from vinn.retrieval.index import kind_for, open_index, read_index_manifest, search_over
from vinn.retrieval.neighbors import Neighbors

EMBEDDINGS_FILE = "embeddings.npy"
METRIC_FILE = "metric.npz"
NOVELTY_FILE = "novelty.npz"
GRASP_FOLDER = "grasp_point"


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


class NearestArtefact(PolicyArtefact[VinnSettings]):
    """An artefact with embeddings."""

    @cached_property
    def embeddings(self) -> NDArray[np.floating]:
        """(N, D) in the settings' storage, finite, mapped from disk.

        Raises:
            ArtefactError: the file is malformed or not finite.
            ArtefactMismatchError: its shape is not the manifest's.
        """
        path = self.directory / EMBEDDINGS_FILE
        settings = self.settings
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
            return open_index(index, self.embeddings, self.manifest.files[EMBEDDINGS_FILE])
        return search_over(self.embeddings)

    @cached_property
    def features(self) -> Features:
        """How embeddings become what `embeddings` holds.

        Raises:
            ArtefactError: metric.npz is malformed.
        """
        settings = self.settings
        if settings.metric is MetricKind.EUCLIDEAN:
            return Features(settings.context)
        return Features(settings.context, load_metric(self.directory / METRIC_FILE))

    @cached_property
    def subspace(self) -> Subspace | None:
        """What novelty is measured against; None where it is the nearest distance.

        Raises:
            ArtefactError: novelty.npz is malformed.
        """
        settings = self.settings
        if settings.novelty is NoveltyMeasure.NEAREST:
            return None
        return load_subspace(self.directory / NOVELTY_FILE, settings.dimension)

    def _networks(self, options: LoadOptions) -> tuple[Encoder, GraspMemory | None]:
        """The encoder, and the memory of the grasp point where the policy has one."""
        record, folder = self.settings.grasp_point, self.directory / FOLDER
        if record is None:
            return load_encoder(folder, options.threads, options.precision), None
        grasp_folder = self.directory / GRASP_FOLDER
        encoder, network = load_together((folder, grasp_folder), options.threads, options.precision)
        detector = load_detector(grasp_folder, network)
        memory = GraspMemory(
            detector,
            grasp_key(record.settings, record.feature_unit, detector.manifest),
            record.settings,
            record.phases,
        )
        return encoder, memory

    def parts(self, options: LoadOptions) -> dict[str, Any]:
        """What `VinnPolicy` is bound to.

        Raises:
            ArtefactError, ArtefactMismatchError: a part is missing or does not belong.
        """
        settings = self.settings
        encoder, grasp = self._networks(options)
        return {
            "encoder": encoder,
            "neighbors": self.neighbors() if options.neighbors is None else options.neighbors,
            "memory": self.memory,
            "k": settings.k if options.k is None else options.k,
            "bandwidth": settings.bandwidth if options.bandwidth is None else options.bandwidth,
            "novelty_limit": settings.novelty_limit,
            "project_to_unit": settings.project_to_unit,
            "features": self.features,
            "progress": settings.progress,
            "subspace": self.subspace,
            "grasp": grasp,
        }


def nearest(artefact: PolicyArtefact[Any]) -> NearestArtefact:
    """An artefact that has embeddings, as such.

    Raises:
        ArtefactError: it has none.
    """
    if not isinstance(artefact, NearestArtefact):
        raise ArtefactError(
            f"{artefact.directory}: kind '{artefact.manifest.kind}' has no embeddings"
        )
    return artefact


class NearestKind(PolicyKind[VinnSettings]):
    """A kind that looks for nearest frames."""

    settings = VinnSettings
    section = "vinn"
    needs_encoder = True
    artefact = NearestArtefact

    def files(self, settings: VinnSettings) -> tuple[str, ...]:
        """See `PolicyKind.files`."""
        files: tuple[str, ...] = (EMBEDDINGS_FILE,)
        if settings.metric is not MetricKind.EUCLIDEAN:
            files = (*files, METRIC_FILE)
        if settings.novelty is not NoveltyMeasure.NEAREST:
            files = (*files, NOVELTY_FILE)
        return files

    def views(self, settings: VinnSettings) -> tuple[str, ...]:
        """See `PolicyKind.views`."""
        return settings.views

    def check(self, directory: Path, manifest: PolicyManifest, settings: VinnSettings) -> None:
        """Encoder, detector and k."""
        check_encoder(
            directory,
            settings.encoder_hash,
            settings.dimension,
            settings.preprocessing,
            settings.encoder_name,
        )
        if settings.grasp_point is not None:
            _check_detector(directory / GRASP_FOLDER, manifest, settings.grasp_point)
        if settings.k > manifest.frame_count:
            raise ConfigError(
                f"{directory / 'manifest.json'}: k: {settings.k} neighbours of "
                f"{manifest.frame_count} demonstration frames; allowed: 1..{manifest.frame_count}"
            )

    def check_rows(self, artefact: PolicyArtefact[VinnSettings]) -> None:
        """Shape and values of the embeddings."""
        nearest(artefact).embeddings  # noqa: B018  (raises where the shape is wrong)

    def describe(self, artefact: PolicyArtefact[VinnSettings]) -> list[tuple[str, str]]:
        """See `PolicyKind.describe`."""
        settings = artefact.settings
        limit = "none" if settings.novelty_limit is None else f"{settings.novelty_limit:.4g}"
        rows = [
            ("k", str(settings.k)),
            ("bandwidth", f"{settings.bandwidth:.4g}"),
            ("project to unit", str(settings.project_to_unit).lower()),
        ]
        if settings.storage != "float32":
            rows.insert(0, ("embeddings", settings.storage))
        if len(settings.views) > 1:
            rows.append(("views", ", ".join(settings.views)))
        if settings.context > 1:
            rows.append(("context", f"{settings.context} frames"))
        if settings.metric is not MetricKind.EUCLIDEAN:
            rows.append(("metric", f"{settings.metric.value}, {settings.metric_dimension}-d"))
        if settings.progress is not None:
            rows.append(("progress prior", f"width {settings.progress.width:g}"))
        encoder = f"{settings.encoder_name}, {settings.dimension}-d, {settings.encoder_hash[:16]}"
        rows += [
            ("novelty by", settings.novelty.value),
            ("novelty limit", limit),
            ("encoder", encoder),
        ]
        return rows + _search_rows(nearest(artefact))


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


def _search_rows(artefact: NearestArtefact) -> list[tuple[str, str]]:
    """What `describe` says of the search."""
    folder = artefact.directory / INDEX_FOLDER
    if not folder.is_dir():
        return [("search", f"{kind_for(len(artefact.memory)).value}, prepared at start")]
    artefact.neighbors()  # refuses a damaged one
    manifest = read_index_manifest(folder)
    rows = [("search", f"{manifest.kind.value}, built in {manifest.build_s:.1f} s")]
    if manifest.recall is not None:
        rows.append(
            (
                f"recall at {manifest.recall_k}",
                f"{manifest.recall:.4f} over {manifest.recall_queries} frames, "
                f"{manifest.probes} of {manifest.lists} lists read, "
                f"{manifest.candidates_per_neighbor} candidates per neighbour",
            )
        )
    return rows
