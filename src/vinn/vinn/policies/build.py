"""Building nearest-neighbour policies from demonstrations."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_directory, sha256_file
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_for_datasets
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.policies.artefacts.embedding import (
    EmbeddedDataset,
    Progress,
    check_embedded,
    embed_dataset,
)
from vinn.policies.artefacts.encoder_copy import copy_encoder
from vinn.policies.artefacts.frames import write_frames
from vinn.policies.artefacts.half_precision import checked_half
from vinn.policies.artefacts.manifest import INDEX_FOLDER
from vinn.policies.augmentation import ORIGINAL
from vinn.policies.features import Features, MetricKind, save_metric
from vinn.policies.grasp.detector import read_grasp_manifest
from vinn.policies.grasp.point import GraspSource, key_labels
from vinn.policies.kinds.nearest import (
    EMBEDDINGS_FILE,
    GRASP_FOLDER,
    METRIC_FILE,
    NOVELTY_FILE,
    GraspPointRecord,
    VinnSettings,
)
from vinn.policies.kinds.registry import POLICY_KINDS
from vinn.policies.mlp import Mlp, save_heads
from vinn.policies.novelty import (
    NOVELTY_QUANTILE,
    NoveltyMeasure,
    calibrated_subspace,
    cells_of,
    save_subspace,
)
from vinn.policies.progress import ProgressSettings
from vinn.policies.vinn import PAPER_BANDWIDTH, PAPER_K
from vinn.retrieval.index import IndexKind, build_index, kind_for
from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations


def build_policy(
    dataset: Dataset,
    encoder_dir: Path,
    out_dir: Path,
    k: int = PAPER_K,
    bandwidth: float = PAPER_BANDWIDTH,
    on_progress: Progress | None = None,
    *,
    project_to_unit: bool = False,
    embedded: EmbeddedDataset | None = None,
    name: str | None = None,
    provenance: dict[str, Any] | None = None,
    views: Sequence[str] = (ORIGINAL,),
    features: Features | None = None,
    metric: MetricKind = MetricKind.EUCLIDEAN,
    progress: ProgressSettings | None = None,
    head: tuple[Mlp, float] | None = None,
    novelty: NoveltyMeasure = NoveltyMeasure.NEAREST,
    half: bool = False,
    grasp: GraspSource | None = None,
    kind: str | None = None,
) -> Path:
    """Build a nearest-neighbour policy from demonstrations and an encoder.

    Args:
        dataset: demonstrations without actions are left out.
        encoder_dir: encoder artefact; is copied.
        out_dir: is made, and must not exist.
        k: neighbours, 1..number of frames with actions.
        bandwidth: of the softmin kernel; 1.0 is the paper.
        on_progress: called with (frames embedded, frames in all).
        project_to_unit: scale predicted translations to length 1.
        embedded: result of `embed_dataset` for the same demonstrations and encoder, if at hand.
        name: of the policy; the name of `out_dir` by default.
        provenance: kept in the manifest.
        views: of each demonstration that are remembered; see `vinn.policies.augmentation`.
        features: context and metric; see `vinn.policies.features`.
        metric: what the metric of `features` is called.
        progress: prior over progress; None is off.
        head: network of `vinn.policies.darp` and what it calls 1; makes the kind "darp".
        novelty: what novelty is measured by; see `vinn.policies.novelty`.
        half: keep embeddings in half precision; refused where the ranking does not allow it.
        grasp: detector and settings of grasp points; is copied. None is off.
        kind: a `NearestKind` by its name; by default "vinn", or "darp" with `head`.

    Raises:
        DatasetError: no actions, or a truncated frame.
        ConfigError: k or bandwidth out of range, an unknown view, or `half` is refused
            (`vinn.policies.artefacts.half_precision`).
        ArtefactError: bad encoder, or `out_dir` exists. Nothing is left half-written.
        ArtefactMismatchError: `embedded` is of other demonstrations or another encoder.
    """
    dataset, out_dir, views = dataset.with_actions(), Path(out_dir), tuple(views)
    features = features or Features()
    rows = dataset.frame_count * len(views)
    if not 1 <= k <= rows:
        raise ConfigError(f"k: {k} neighbours of {rows} demonstration frames; allowed: 1..{rows}")
    if not (bandwidth > 0 and np.isfinite(bandwidth)):
        raise ConfigError(f"bandwidth: {bandwidth}; allowed: finite and > 0")
    if half and head is not None:
        raise ConfigError("half: not for kind 'darp', whose network was trained on full precision")
    with atomic_directory(out_dir, ArtefactError) as folder:
        if embedded is None:
            embedded = embed_dataset(dataset, load_for_datasets(encoder_dir), on_progress, views)
        encoder = copy_encoder(encoder_dir, folder)
        check_embedded(embedded, dataset, encoder, views)
        memory = write_frames(folder, dataset, views)
        stored = features.of_demonstrations(embedded.embeddings, memory.demonstration_ids)
        provenance = dict(provenance or {})
        if grasp is not None:
            record = _copied_detector(grasp, dataset, folder / GRASP_FOLDER)
            stored = grasp.keyed(stored, dataset, views)
        if half:
            stored, provenance["half_precision"] = checked_half(stored, memory.origin_ids)
        np.save(folder / EMBEDDINGS_FILE, stored)
        if features.metric is not None:
            save_metric(folder / METRIC_FILE, features.metric)
        if head is not None:
            save_heads(folder / "heads.npz", {"adjust": head[0]})
        limit: float | None
        if novelty is NoveltyMeasure.SUBSPACE:
            subspace, limit = calibrated_subspace(
                embedded.embeddings, memory.origin_ids, cells_of(encoder)
            )
            save_subspace(folder / NOVELTY_FILE, subspace)
        else:
            limit = calibrate_novelty_limit(stored, memory.origin_ids)
        settings = VinnSettings(
            encoder_name=encoder.name,
            encoder_hash=encoder.hash,
            preprocessing=encoder.preprocessing,
            dimension=encoder.dimension,
            k=k,
            bandwidth=bandwidth,
            project_to_unit=project_to_unit,
            novelty=novelty,
            novelty_limit=limit,
            novelty_quantile=NOVELTY_QUANTILE,
            views=views,
            context=features.context,
            metric=metric,
            metric_dimension=None if features.metric is None else features.metric.outputs,
            progress=progress,
            grasp_point=None if grasp is None else record,
            storage="float16" if half else "float32",
            head_length=None if head is None else head[1],
        )
        if kind_for(len(memory)) is not IndexKind.FLAT:
            build_index(
                folder / INDEX_FOLDER,
                stored,
                memory.origin_ids,
                sha256_file(folder / EMBEDDINGS_FILE),
            )
        method = POLICY_KINDS[kind or ("vinn" if head is None else "darp")]
        method.seal(folder, dataset, memory, settings, name or out_dir.name, provenance)
    return out_dir


def _copied_detector(grasp: GraspSource, dataset: Dataset, folder: Path) -> GraspPointRecord:
    """Copy a detector beside the policy it belongs to.

    Raises:
        ArtefactMismatchError: it is for another action scale.
    """
    manifest = read_grasp_manifest(grasp.detector_dir)
    if manifest.action_scale is not dataset.action_scale:
        raise ArtefactMismatchError(
            f"{grasp.detector_dir}: learned from {manifest.action_scale.value} actions, the "
            f"demonstrations' are {dataset.action_scale.value}"
        )
    shutil.copytree(grasp.detector_dir, folder)
    _, phases = key_labels(dataset, (ORIGINAL,))
    return GraspPointRecord(
        settings=grasp.settings,
        detector_hash=manifest.network_hash,
        feature_unit=grasp.feature_unit,
        phases=int(phases.max()) + 1,
    )


def calibrate_novelty_limit(
    embeddings: NDArray[np.floating], demonstration_ids: NDArray[np.int64]
) -> float | None:
    """Distance to the nearest frame above which a view is unlike the demonstrations.

    It is the `NOVELTY_QUANTILE` of what each frame (N, D) sees of the other demonstrations; None
    where there is a single demonstration, or all frames look the same.
    """
    if len(np.unique(demonstration_ids)) < 2:
        return None
    distances, _ = neighbors_in_other_demonstrations(embeddings, demonstration_ids, k=1)
    limit = float(np.quantile(distances[:, 0], NOVELTY_QUANTILE))
    return limit if limit > 0 else None
