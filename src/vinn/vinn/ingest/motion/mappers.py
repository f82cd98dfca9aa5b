"""pycolmap's incremental and its global mapper, and the camera paths they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.ingest.lenses.lens import Lens
from vinn.ingest.motion.matching import initial_pair
from vinn.ingest.motion.sfm_settings import SfmSettings

SFM_SEED = 0


@dataclass(frozen=True)
class Mapping:
    """One mapper's answer for N frames; a frame it did not place has NaN.

    Attributes:
        mapper: "incremental" or "global".
        models: number of separate models; only the largest one is used.
        segment: (N,) which scene each frame belongs to. Poses compare within a segment only.
        world_centre: (N, 3) camera centres, in an unknown scale.
        camera_from_world: (N, 3, 3) rotations.
        observations: (N,) triangulated points each frame sees.
        points: triangulated points in all.
        reprojection_error_px: mean.
    """

    mapper: str
    models: int
    segment: NDArray[np.int64]
    world_centre: NDArray[np.float64]
    camera_from_world: NDArray[np.float64]
    observations: NDArray[np.int64]
    points: int
    reprojection_error_px: float

    @property
    def registered(self) -> NDArray[np.bool_]:
        """(N,) frames the mapper placed."""
        return np.asarray(np.isfinite(self.world_centre).all(axis=1))


def incremental_models(
    colmap: Any,
    database: Path,
    frames_dir: Path,
    names: Sequence[str],
    folder: Path,
    lens: Lens,
    settings: SfmSettings,
) -> dict[int, Any]:
    """The incremental mapper's models of some frames, by number.

    It begins with `matching.initial_pair`. Left to itself it begins with the pair that
    has most matches, and may then follow the door.

    Args:
        colmap: the pycolmap module.
        database: with verified matches.
        frames_dir: folder of the images.
        names: of the frames, in `frames_dir`.
        folder: existing one, for what the mapper writes.
        lens: of the frames.
        settings: see `SfmSettings`.
    """
    options = colmap.IncrementalPipelineOptions()
    options.image_names = list(names)
    options.num_threads = settings.threads
    options.random_seed = SFM_SEED
    options.min_model_size = 3
    options.extract_colors = False
    options.ba_refine_focal_length = settings.refine_intrinsics
    options.ba_refine_extra_params = settings.refine_intrinsics
    options.mapper.abs_pose_refine_focal_length = settings.refine_intrinsics
    options.mapper.abs_pose_refine_extra_params = settings.refine_intrinsics
    options.mapper.init_min_tri_angle = settings.min_triangulation_angle_deg
    options.mapper.init_max_error = settings.mapper_error_px
    options.mapper.filter_max_reproj_error = settings.mapper_error_px
    # Of a pose before it is refined.
    options.mapper.abs_pose_max_error = 3 * settings.mapper_error_px
    _limit_errors(options.triangulation, lens, settings)
    gaps = [gap for gap in settings.gaps if gap >= settings.initial_gap]
    pair = initial_pair(colmap, database, names, gaps, lens)
    if pair is not None:
        options.init_image_id1, options.init_image_id2 = pair
        models = dict(colmap.incremental_mapping(database, frames_dir, folder, options))
        if models:
            return models
        options.init_image_id1 = options.init_image_id2 = -1
    return dict(colmap.incremental_mapping(database, frames_dir, folder, options))


def global_models(
    colmap: Any,
    database: Path,
    frames_dir: Path,
    names: Sequence[str],
    folder: Path,
    lens: Lens,
    settings: SfmSettings,
) -> dict[int, Any]:
    """The same by the global mapper."""
    options = colmap.GlobalPipelineOptions()
    options.image_names = list(names)
    options.num_threads = settings.threads
    options.random_seed = SFM_SEED
    if settings.tracks_per_view is not None:
        options.mapper.track_required_tracks_per_view = settings.tracks_per_view
    adjustment = options.mapper.bundle_adjustment
    adjustment.refine_focal_length = settings.refine_intrinsics
    adjustment.refine_extra_params = settings.refine_intrinsics
    options.mapper.max_angular_reproj_error_deg = _degrees(settings.mapper_error_px, lens)
    _limit_errors(options.mapper.retriangulation, lens, settings)
    return dict(colmap.global_mapping(database, frames_dir, folder, options))


def _limit_errors(triangulation: Any, lens: Lens, settings: SfmSettings) -> None:
    """The same limit wherever points are made, continued and joined."""
    angle_deg = _degrees(settings.mapper_error_px, lens)
    triangulation.create_max_angle_error = angle_deg
    triangulation.continue_max_angle_error = angle_deg
    triangulation.merge_max_reproj_error = settings.mapper_error_px
    triangulation.complete_max_reproj_error = settings.mapper_error_px


def _degrees(pixels: float, lens: Lens) -> float:
    return float(np.degrees(pixels / lens.fx_px))


def largest_model(mapper: str, models: dict[int, Any], names: Sequence[str]) -> Mapping:
    """The largest model of one segment."""
    centre = np.full((len(names), 3), np.nan)
    rotation = np.full((len(names), 3, 3), np.nan)
    observations = np.zeros(len(names), np.int64)
    segment = np.zeros(len(names), np.int64)
    if not models:
        return Mapping(mapper, 0, segment, centre, rotation, observations, 0, float("nan"))
    best = max(models.values(), key=lambda model: model.num_reg_images())
    row = {name: index for index, name in enumerate(names)}
    for image in best.images.values():
        if not image.has_pose:
            continue
        index = row[image.name]
        centre[index] = image.projection_center()
        rotation[index] = image.cam_from_world().rotation.matrix()
        observations[index] = image.num_points3D
    return Mapping(
        mapper,
        len(models),
        segment,
        centre,
        rotation,
        observations,
        best.num_points3D(),
        float(best.compute_mean_reprojection_error()),
    )


def joined(parts: list[Mapping], segment: NDArray[np.int64]) -> Mapping:
    """The segments' mappings one after the other."""
    errors = [part.reprojection_error_px for part in parts if part.models]
    return Mapping(
        parts[0].mapper,
        sum(part.models for part in parts),
        segment,
        np.concatenate([part.world_centre for part in parts]),
        np.concatenate([part.camera_from_world for part in parts]),
        np.concatenate([part.observations for part in parts]),
        sum(part.points for part in parts),
        max(errors) if errors else float("nan"),
    )
