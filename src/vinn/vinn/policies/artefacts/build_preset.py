"""A policy from demonstrations, an encoder and a preset: every choice that a preset leaves open.

local features?   make the encoder that has them
views             embed every demonstration in each
metric?           fit it to the demonstrations
select?           choose k and bandwidth by leaving one demonstration out
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_for_datasets
from vinn.encoders.local import localise_encoder
from vinn.errors import ConfigError
from vinn.policies.artefacts.embedding import EmbeddedDataset, embed_dataset
from vinn.policies.artefacts.selection import Selection, select_k_and_bandwidth
from vinn.policies.build import build_policy
from vinn.policies.features import Features, MetricKind, join_context
from vinn.policies.grasp.point import GraspSource, usual_distance
from vinn.policies.kinds.kind import OnStage
from vinn.policies.memory import ActionMemory
from vinn.policies.mlp import Mlp
from vinn.policies.preset import PolicyPreset
from vinn.retrieval.metric import LinearMetric, pca_whitening
from vinn.retrieval.nca import learn_metric

TrainHead = Callable[[NDArray[np.float32], ActionMemory, int], tuple[Mlp, float]]
"""Features (N, D), memory and k to the network of `vinn.policies.darp` and what it calls 1."""

TrainDetector = Callable[[Dataset, Path, Path], Path]
"""Demonstrations, encoder and folder to a detector of grasp points written there."""

QUERY_ERROR = 0.5
"""Standard deviation of a query's grasp point, as a share of sigma, for which k and bandwidth are
chosen. Set once, not tuned: on validation cabinets the belief was 4, 6 and 4 mm off where the
gripper first closed, and 15 mm in depth where no parallax told it."""


def build_from_preset(
    dataset: Dataset,
    encoder_dir: Path,
    out_dir: Path,
    preset: PolicyPreset,
    *,
    gripper_weight: float = 1.0,
    threads: int = 1,
    embedded: EmbeddedDataset | None = None,
    on_stage: OnStage | None = None,
    on_selection: Callable[[Selection], None] | None = None,
    name: str | None = None,
    provenance: dict[str, Any] | None = None,
    train_head: TrainHead | None = None,
    half: bool = False,
    detector_dir: Path | None = None,
    train_detector: TrainDetector | None = None,
    kind: str | None = None,
) -> Path:
    """Build a nearest-neighbour policy as a preset says.

    Args:
        dataset: demonstrations without actions are left out.
        encoder_dir: encoder artefact; with `preset.local` the one that local features are made of.
        out_dir: is made, and must not exist.
        preset: the settings.
        gripper_weight: of the criterion for k and bandwidth; see `selection`.
        threads: CPU threads of the encoder.
        embedded: of the same demonstrations, encoder and views, if at hand (not with
            `preset.local`).
        on_stage: told what is done and how far it is.
        on_selection: told how k and bandwidth were chosen.
        name: of the policy; the name of `out_dir` by default.
        provenance: kept in the manifest.
        train_head: makes the kind "darp" (`vinn.policies.darp`) with k of the preset.
        half: keep embeddings in half precision; see `build_policy`.
        detector_dir: of grasp points, where the preset asks for them.
        train_detector: makes one where there is none.
        kind: see `build_policy`.

    Raises:
        DatasetError, ConfigError, ArtefactError, ArtefactMismatchError: as `build_policy`.
    """
    dataset, source_dir = dataset.with_actions(), encoder_dir

    def stage(what: str) -> Callable[[int, int], None]:
        return lambda done, total: on_stage(what, done, total) if on_stage else None

    with tempfile.TemporaryDirectory() as scratch:
        if preset.local is not None:
            if embedded is not None:
                raise ConfigError("embedded: not with local features, which make another encoder")
            paths = [path for d in dataset.demonstrations for path in d.frame_paths]
            encoder_dir = localise_encoder(
                encoder_dir, paths, Path(scratch) / "encoder", preset.local, stage("local features")
            )
        if embedded is None:
            encoder = load_for_datasets(encoder_dir, threads)
            embedded = embed_dataset(dataset, encoder, stage("embedding frames"), preset.views)
        memory = ActionMemory.of(dataset, preset.views)
        joined = join_context(embedded.embeddings, memory.demonstration_ids, preset.context)
        metric = fit_metric(preset, joined, memory, stage("learning the metric"))
        stored = joined if metric is None else metric(joined)
        grasp = None
        if preset.grasp_point is not None:
            if detector_dir is None and train_detector is None:
                raise ConfigError(
                    "grasp_point: needs a detector: give the folder that 'vinn train grasp-point' "
                    "wrote"
                )
            if detector_dir is None and train_detector is not None:
                detector_dir = train_detector(dataset, source_dir, Path(scratch) / "detector")
            if detector_dir is not None:
                unit = usual_distance(stored, memory.origin_ids)
                grasp = GraspSource(detector_dir, preset.grasp_point, unit)
        compared = stored
        if grasp is not None:
            compared = grasp.keyed(stored, dataset, preset.views, QUERY_ERROR)
        k, bandwidth, chosen, head = preset.k, preset.bandwidth, {}, None
        if preset.bandwidth_share is not None:
            bandwidth = preset.bandwidth_share * usual_distance(compared, memory.origin_ids)
        if train_head is not None:
            head = train_head(stored, memory, k)
        elif preset.select:
            selection = select_k_and_bandwidth(
                compared,
                memory.camera_delta,
                memory.origin_ids,
                gripper=memory.gripper,
                gripper_weight=gripper_weight,
            )
            k, bandwidth = selection.k, selection.bandwidth
            chosen = {"selection": _as_provenance(selection, gripper_weight)}
            if on_selection is not None:
                on_selection(selection)
        return build_policy(
            dataset,
            encoder_dir,
            out_dir,
            k,
            bandwidth,
            project_to_unit=preset.project_to_unit,
            embedded=embedded,
            name=name,
            provenance={**(provenance or {}), **chosen},
            views=preset.views,
            features=Features(preset.context, metric),
            metric=preset.metric,
            progress=preset.progress,
            head=head,
            novelty=preset.novelty,
            half=half,
            grasp=grasp,
            kind=kind,
        )


def fit_metric(
    preset: PolicyPreset,
    joined: NDArray[np.float32],
    memory: ActionMemory,
    on_progress: Callable[[int, int], None] | None = None,
) -> LinearMetric | None:
    """The metric a preset asks for, fitted to features (N, D) with context; None if plain.

    Raises:
        DatasetError: too few demonstrations to learn one.
        ConfigError: all frames have the same features.
    """
    if preset.metric is MetricKind.EUCLIDEAN:
        return None
    if preset.metric is MetricKind.PCA_WHITENING:
        return pca_whitening(joined, preset.metric_dimension)
    return learn_metric(
        joined,
        normalised_targets(memory),
        memory.origin_ids,
        preset.metric_dimension,
        on_progress=on_progress,
    )


def normalised_targets(memory: ActionMemory) -> NDArray[np.float64]:
    """(N, 4) translation and gripper state, each of mean 0 and total variance 1."""
    delta = memory.camera_delta - memory.camera_delta.mean(axis=0, dtype=np.float64)
    state = memory.gripper - memory.gripper.mean(dtype=np.float64)
    tiny = np.finfo(float).tiny
    delta = delta / np.sqrt(max(float((delta**2).sum(axis=1).mean()), tiny))
    state = state / np.sqrt(max(float((state**2).mean()), tiny))
    return np.column_stack([delta, state])


def _as_provenance(selection: Selection, gripper_weight: float) -> dict[str, object]:
    best = selection.rows[0]
    return {
        "criterion": "leave one demonstration out, translation and gripper",
        "gripper_weight": gripper_weight,
        "score": best.score,
        "translation_mse": best.translation_mse,
        "gripper_mse": best.gripper_mse,
        "median_neighbor_distance": selection.median_neighbor_distance,
    }
