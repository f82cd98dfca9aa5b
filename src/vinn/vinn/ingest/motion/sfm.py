"""Camera poses from frames: pycolmap's features and matches once, then two mappers.

The incremental and the global mapper share nothing after the matches, so where they agree the
answer is almost surely right; where they do not, one of them failed without saying so.
Registration rate and reprojection error stay good in such failures (docs/ingest.md).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError, DatasetError
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.motion.mappers import (
    SFM_SEED,
    Mapping,
    global_models,
    incremental_models,
    joined,
    largest_model,
)
from vinn.ingest.motion.matching import keep_widest_motion, picture_motion_px
from vinn.ingest.motion.sfm_settings import SfmSettings

_BYTES_PER_FEATURE = 400
"""In the database: descriptor 128, keypoint 24, its matches over all gaps; with room to spare."""
_SPARE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Reconstruction:
    """Both mappers' answers for N frames and M steps.

    Attributes:
        incremental: by the incremental mapper.
        global_: by the global mapper.
        still: (M,) steps in which the picture stood still.
        step_matches: for each step, all matches between its ends as unit rays, two of (K, 3).
    """

    incremental: Mapping
    global_: Mapping
    still: NDArray[np.bool_]
    step_matches: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]


def require_pycolmap() -> Any:
    """The pycolmap module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pycolmap
    except ImportError as cause:
        raise ConfigError(
            "structure from motion needs pycolmap: pip install 'vinn[ingest]'"
        ) from cause
    return pycolmap


def reconstruct(
    frames_dir: Path,
    names: Sequence[str],
    lens: Lens,
    mask: NDArray[np.bool_] | None,
    steps: Sequence[tuple[int, int]],
    work_dir: Path,
    settings: SfmSettings,
    on_progress: Callable[[str, float], None] | None = None,
) -> Reconstruction:
    """Reconstruct the camera path of N frames with both mappers.

    Args:
        frames_dir: folder of the images.
        names: N file names in it, in order of time.
        lens: of these images.
        mask: (height, width), True where no features may be taken (gripper, black border).
        steps: M pairs of rows, the first and the last frame of each whole step, in order.
        work_dir: existing folder for the database and the models; made anew by each call.
        settings: see `SfmSettings`.
        on_progress: called with what begins and about how much is done, 0..1.

    Returns:
        Both mappings; a mapper that fails has 0 models.

    Raises:
        ConfigError: pycolmap is missing.
        DatasetError: too little space in `work_dir`, or pycolmap cannot work there.
    """
    colmap = require_pycolmap()
    _check_space(work_dir, len(names), settings)
    try:
        tell = on_progress or (lambda what, share: None)
        return _reconstructed(
            colmap, frames_dir, names, lens, mask, steps, work_dir, settings, tell
        )
    except RuntimeError as cause:
        # What C++ threw: a database that cannot be written, above all.
        reason = str(cause).strip().splitlines()[0]
        raise DatasetError(f"{work_dir}: structure from motion stopped: {reason}") from cause


def _check_space(work_dir: Path, frames: int, settings: SfmSettings) -> None:
    """Refuse before the work: pycolmap ends its process when its database cannot grow."""
    needed = _SPARE_BYTES + frames * settings.max_features * _BYTES_PER_FEATURE
    free = shutil.disk_usage(work_dir).free
    if free < needed:
        raise DatasetError(
            f"{work_dir}: {free / 2**20:.0f} MiB free; the reconstruction of {frames} frames "
            f"needs {needed / 2**20:.0f} MiB"
        )


def _reconstructed(
    colmap: Any,
    frames_dir: Path,
    names: Sequence[str],
    lens: Lens,
    mask: NDArray[np.bool_] | None,
    steps: Sequence[tuple[int, int]],
    work_dir: Path,
    settings: SfmSettings,
    tell: Callable[[str, float], None],
) -> Reconstruction:
    colmap.logging.minloglevel = int(colmap.logging.FATAL)
    colmap.set_random_seed(SFM_SEED)
    database = work_dir / "database.db"
    database.unlink(missing_ok=True)
    reader = colmap.ImageReaderOptions()
    reader.camera_model, reader.camera_params = _colmap_camera(lens)
    if mask is not None:
        mask_path = work_dir / "mask.png"
        # COLMAP takes no features where its mask is black.
        cv2.imwrite(str(mask_path), np.where(mask, 0, 255).astype(np.uint8))
        reader.camera_mask_path = str(mask_path)
    extraction = colmap.FeatureExtractionOptions()
    extraction.num_threads = settings.threads
    extraction.sift.max_num_features = settings.max_features
    extraction.sift.peak_threshold = settings.peak_threshold
    tell(f"features of {len(names)} frames", 0.0)
    colmap.extract_features(
        database, frames_dir, list(names), colmap.CameraMode.SINGLE, reader, extraction
    )
    matching = colmap.FeatureMatchingOptions()
    matching.num_threads = settings.threads
    pairing = colmap.ImportedPairingOptions()
    pairing.match_list_path = str(_write_pairs(work_dir / "pairs.txt", names, steps, settings))
    matching.skip_geometric_verification = True
    tell("matches", 0.2)
    colmap.match_image_pairs(database, matching, pairing)
    original = keep_widest_motion(colmap, database, lens)
    verification = colmap.GeometricVerifierOptions()
    verification.num_threads = settings.threads
    colmap.geometric_verification(database, verification)
    step_matches = _step_matches(colmap, database, names, steps, original)
    still = _still_steps(step_matches, lens, settings.still_fraction)
    segment = segments(still, steps, len(names))
    found: dict[str, list[Mapping]] = {"incremental": [], "global": []}
    parts = int(segment.max()) + 1
    for index in range(parts):
        part = [name for name, own in zip(names, segment, strict=True) if own == index]
        for mapper, run in (("incremental", incremental_models), ("global", global_models)):
            done = 0.5 + 0.5 * (index + (mapper == "global") / 2) / parts
            tell(f"{mapper} mapping, part {index + 1} of {parts}", done)
            folder = work_dir / f"{mapper}-{index}"
            folder.mkdir(exist_ok=True)
            models = run(colmap, database, frames_dir, part, folder, lens, settings)
            found[mapper].append(largest_model(mapper, models, part))
    return Reconstruction(
        joined(found["incremental"], segment),
        joined(found["global"], segment),
        still,
        step_matches,
    )


def _write_pairs(
    path: Path,
    names: Sequence[str],
    steps: Sequence[tuple[int, int]],
    settings: SfmSettings,
) -> Path:
    """Which frames are matched, one pair a line."""
    pairs = {(i, i + gap) for gap in settings.gaps for i in range(len(names) - gap)} | set(steps)
    lines = [f"{names[first]} {names[second]}\n" for first, second in sorted(pairs)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _step_matches(
    colmap: Any,
    database: Path,
    names: Sequence[str],
    steps: Sequence[tuple[int, int]],
    original: dict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
    """For each step, the matches between its first and its last frame, in that order."""
    opened = colmap.Database.open(str(database))
    try:
        image_id = [opened.read_image_with_name(name).image_id for name in names]
    finally:
        opened.close()
    nothing = np.empty((0, 3))
    found = []
    for begin, end in steps:
        first, second = image_id[begin], image_id[end]
        if (first, second) in original:
            found.append(original[first, second])
        else:
            rays_2, rays_1 = original.get((second, first), (nothing, nothing))
            found.append((rays_1, rays_2))
    return tuple(found)


def _still_steps(
    step_matches: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    lens: Lens,
    still_fraction: float,
) -> NDArray[np.bool_]:
    """(M,) steps in which the picture stood still: far less motion than in the other steps."""
    motion = np.array([picture_motion_px(*rays, lens) for rays in step_matches])
    known = motion[np.isfinite(motion)]
    if not len(known):
        return np.zeros(len(motion), np.bool_)
    return np.asarray(motion < still_fraction * np.percentile(known, 75))


def segments(
    still: NDArray[np.bool_], steps: Sequence[tuple[int, int]], frames: int
) -> NDArray[np.int64]:
    """(N,) segment of each frame: cut in the middle of each run of still steps.

    Where the hand waits, the gripper closes, and what was one rigid scene before (room and door)
    may be two afterwards. A pause at the clip's very start or end cuts nothing.
    """
    segment = np.zeros(frames, np.int64)
    padded = np.concatenate([[False], still, [False]]).astype(int)
    begins, ends = np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1)
    for begin, end in zip(begins, ends, strict=True):
        if begin == 0 or end == len(still):
            continue
        segment[(steps[int(begin)][0] + steps[int(end) - 1][1]) // 2 + 1 :] += 1
    return segment


def _colmap_camera(lens: Lens) -> tuple[str, str]:
    """COLMAP's name and parameters of a lens; its pixel centres are at .5."""
    values = [lens.fx_px, lens.fy_px, lens.cx_px + 0.5, lens.cy_px + 0.5, *(lens.k or ())]
    name = "PINHOLE" if lens.k is None else "OPENCV_FISHEYE"
    return name, ",".join(repr(value) for value in values)
