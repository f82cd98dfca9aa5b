"""Building policy artefacts from demonstrations."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vinn.demos.files import atomic_directory, sha256_file
from vinn.demos.frames import encode_jpeg, read_frame
from vinn.demos.store import Dataset
from vinn.encoders.artefact import EncoderManifest
from vinn.encoders.artefact import read_manifest as read_encoder_manifest
from vinn.encoders.encoder import Encoder, load_for_datasets
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.policies.artefacts.half_precision import checked_half
from vinn.policies.artefacts.opening import (
    FRAME_COLUMNS,
    GRASP_FOLDER,
    INDEX_FOLDER,
    METRIC_FILE,
    NOVELTY_FILE,
    PARAMETRIC,
    GraspPointRecord,
    MetricKind,
    ParametricSettings,
    PolicyKind,
    PolicyManifest,
    VinnSettings,
    data_files,
    open_artefact,
)
from vinn.policies.artefacts.sealing import write_manifest
from vinn.policies.augmentation import ORIGINAL, check_view, view_frame
from vinn.policies.features import Features, save_metric
from vinn.policies.grasp.detector import read_grasp_manifest
from vinn.policies.grasp.point import GraspSource, key_labels
from vinn.policies.memory import ActionMemory
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

THUMBNAIL_SIDE_PX = 128
THUMBNAIL_QUALITY = 85

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


@dataclass(frozen=True)
class EmbeddedDataset:
    """Embeddings (N, D) of a dataset's frames, with the hashes that say of what and by what.

    With several views, N is the number of views times that of frames, view after view.
    """

    embeddings: NDArray[np.float32]
    dataset_hash: str
    encoder_hash: str
    views: tuple[str, ...] = (ORIGINAL,)


def embed_dataset(
    dataset: Dataset,
    encoder: Encoder,
    on_progress: Progress | None = None,
    views: Sequence[str] = (ORIGINAL,),
) -> EmbeddedDataset:
    """Embed every frame of a dataset in every view.

    Frames are read while the encoder works; `load_for_datasets` keeps all processors at it.

    Raises:
        DatasetError: a frame is truncated; the message names it.
        ConfigError: an unknown view.
    """
    views = tuple(check_view(view) for view in views)
    total = dataset.frame_count
    embeddings = np.empty((len(views), total, encoder.dimension), np.float32)

    def seen() -> Iterator[NDArray[np.uint8]]:
        for key, path in _frames(dataset):
            resized = encoder.preprocessing.resize(read_frame(path))
            for view in views:
                yield view_frame(resized, view, key)

    for number, embedding in enumerate(encoder.encode_each(seen())):
        done, view_number = divmod(number, len(views))
        embeddings[view_number, done] = embedding
        if on_progress is not None and view_number == len(views) - 1:
            on_progress(done + 1, total)
    joined = embeddings.reshape(len(views) * total, -1)
    return EmbeddedDataset(joined, dataset.hash, encoder.hash, views)


def _frames(dataset: Dataset) -> Iterator[tuple[str, Path]]:
    """A key and the file of each frame, demonstration after demonstration."""
    for demonstration in dataset.demonstrations:
        for number, path in enumerate(demonstration.frame_paths):
            yield f"{demonstration.meta.name}/{number}", path


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
        encoder = read_encoder_manifest(encoder_dir)
        check_embedded(embedded, dataset, encoder, views)
        shutil.copytree(encoder_dir, folder / "encoder")
        memory = write_frames(folder, dataset, views)
        stored = features.of_demonstrations(embedded.embeddings, memory.demonstration_ids)
        provenance = dict(provenance or {})
        if grasp is not None:
            record = _copied_detector(grasp, dataset, folder / GRASP_FOLDER)
            stored = grasp.keyed(stored, dataset, views)
        if half:
            stored, provenance["half_precision"] = checked_half(stored, memory.origin_ids)
        np.save(folder / "embeddings.npy", stored)
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
        kind = PolicyKind.VINN if head is None else PolicyKind.DARP
        if kind_for(len(memory)) is not IndexKind.FLAT:
            build_index(
                folder / INDEX_FOLDER,
                stored,
                memory.origin_ids,
                sha256_file(folder / "embeddings.npy"),
            )
        _finish(folder, kind, name or out_dir.name, dataset, memory, provenance, settings)
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


def build_control(
    dataset: Dataset, kind: PolicyKind, out_dir: Path, seed: int = 0, name: str | None = None
) -> Path:
    """Build an artefact of a policy without an encoder: open loop or random.

    Raises:
        ConfigError: `kind` is not a control.
        DatasetError: no actions, or a truncated frame.
        ArtefactError: `out_dir` exists.
    """
    if kind not in (PolicyKind.OPEN_LOOP, PolicyKind.RANDOM):
        raise ConfigError(f"kind: '{kind.value}' is no control; allowed: open_loop, random")
    dataset, out_dir = dataset.with_actions(), Path(out_dir)
    with atomic_directory(out_dir, ArtefactError) as folder:
        memory = write_frames(folder, dataset)
        _finish(folder, kind, name or out_dir.name, dataset, memory, None, None, seed)
    return out_dir


def build_parametric(
    dataset: Dataset,
    kind: PolicyKind,
    encoder_dir: Path,
    heads: Mapping[str, Mlp],
    out_dir: Path,
    length: float,
    samples: int = 256,
    iterations: int = 3,
    seed: int = 0,
    name: str | None = None,
    provenance: dict[str, Any] | None = None,
) -> Path:
    """Build an artefact of a trained policy.

    Args:
        dataset: what it was trained on.
        kind: `PolicyKind.BC`, with heads "action" and "gripper", or `PolicyKind.IBC`, with heads
            "energy" and "gripper".
        encoder_dir: encoder artefact whose embeddings the heads take; is copied.
        heads: trained heads by name.
        out_dir: is made, and must not exist.
        length: what the translation head calls 1, in the dataset's action scale.
        samples: of the derivative-free optimiser (`PolicyKind.IBC`).
        iterations: of the same.
        seed: of the same.
        name: of the policy; the name of `out_dir` by default.
        provenance: kept in the manifest.

    Raises:
        DatasetError: no actions, or a truncated frame.
        ConfigError: `kind` is another one.
        ArtefactError: bad encoder, or `out_dir` exists. Nothing is left half-written.
        ArtefactMismatchError: a head does not fit the encoder.
    """
    if kind not in PARAMETRIC:
        raise ConfigError(f"kind: '{kind.value}' has no heads; allowed: bc, ibc")
    dataset, out_dir = dataset.with_actions(), Path(out_dir)
    with atomic_directory(out_dir, ArtefactError) as folder:
        encoder = read_encoder_manifest(encoder_dir)
        shutil.copytree(encoder_dir, folder / "encoder")
        save_heads(folder / "heads.npz", heads)
        memory = write_frames(folder, dataset)
        settings = ParametricSettings(
            encoder_name=encoder.name,
            encoder_hash=encoder.hash,
            preprocessing=encoder.preprocessing,
            dimension=encoder.dimension,
            length=length,
            samples=samples,
            iterations=iterations,
        )
        name = name or out_dir.name
        _finish(folder, kind, name, dataset, memory, provenance, settings, seed)
        open_artefact(folder).policy()  # raises where the heads do not fit
    return out_dir


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


def check_embedded(
    embedded: EmbeddedDataset,
    dataset: Dataset,
    encoder: EncoderManifest,
    views: tuple[str, ...] = (ORIGINAL,),
) -> None:
    """Refuse embeddings of other demonstrations, of another encoder, or of other views.

    Raises:
        ArtefactMismatchError: both values are named.
    """
    if embedded.dataset_hash != dataset.hash:
        raise ArtefactMismatchError(
            f"embeddings are of dataset {embedded.dataset_hash[:12]}, the policy's is "
            f"{dataset.hash[:12]}"
        )
    if embedded.encoder_hash != encoder.hash:
        raise ArtefactMismatchError(
            f"embeddings are by encoder {embedded.encoder_hash[:12]}, the policy's is "
            f"{encoder.hash[:12]} ({encoder.name})"
        )
    if embedded.views != views:
        raise ArtefactMismatchError(
            f"embeddings are of views {', '.join(embedded.views)}, the policy's are "
            f"{', '.join(views)}"
        )


def write_frames(
    folder: Path, dataset: Dataset, views: Sequence[str] = (ORIGINAL,)
) -> ActionMemory:
    """Write frames.parquet and thumbnails.bin."""
    memory = ActionMemory.of(dataset, views)
    sizes = []
    with (folder / "thumbnails.bin").open("wb") as file:
        for view in views:
            sizes += [file.write(_thumbnail(path, view, key)) for key, path in _frames(dataset)]
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    columns = [
        pa.array([memory.names[row] for row in memory.demonstration_ids]),
        pa.array(memory.frames),
        *(pa.array(memory.camera_delta[:, axis]) for axis in range(3)),
        pa.array(memory.gripper),
        pa.array(offsets, pa.int64()),
        pa.array(sizes, pa.int32()),
    ]
    pq.write_table(pa.table(columns, schema=FRAME_COLUMNS), folder / "frames.parquet")
    return memory


def _thumbnail(path: Path, view: str, key: str) -> bytes:
    frame = view_frame(read_frame(path), view, key)
    height, width = frame.shape[:2]
    shrink = min(1.0, THUMBNAIL_SIDE_PX / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(small, np.uint8), THUMBNAIL_QUALITY)


def _finish(
    folder: Path,
    kind: PolicyKind,
    name: str,
    dataset: Dataset,
    memory: ActionMemory,
    provenance: dict[str, Any] | None,
    settings: VinnSettings | ParametricSettings | None,
    seed: int = 0,
) -> None:
    vinn = settings if isinstance(settings, VinnSettings) else None
    manifest = PolicyManifest(
        kind=kind,
        name=name,
        action_scale=memory.action_scale,
        demonstration_count=len(dataset),
        frame_count=len(memory),
        dataset_hash=dataset.hash,
        seed=seed,
        vinn=vinn,
        parametric=settings if isinstance(settings, ParametricSettings) else None,
        files={file: sha256_file(folder / file) for file in data_files(kind, vinn)},
        provenance=provenance or {},
    )
    write_manifest(folder, manifest)
