"""Record a task's splits, demonstration by demonstration; a killed recording is taken up again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vinn.demos.store import write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, new_meta
from vinn.errors import ConfigError, DatasetError
from vinn.learning.config import write_config
from vinn.reading.config_file import load_config
from vinn.tasks.registry import task_named
from vinn.tasks.types import SPLITS, Episode, Recorder, TaskSettings

SEEDS_PER_SPLIT = 100_000
"""Splits draw episode seeds from ranges that do not meet, so no episode is in two of them."""
MAX_FAILURES = 20
"""Failed episodes in a row after which the expert is taken to be broken."""

OnProgress = Callable[[int, int], None]
"""Called with (demonstrations done, demonstrations in all)."""


@dataclass(frozen=True)
class RecordingReport:
    """What was recorded.

    Attributes:
        recorded: demonstrations written by this call.
        failed: episodes in which the expert failed; none of them was kept.
    """

    recorded: int
    failed: int


def record_task(
    settings: TaskSettings, root: Path, on_progress: OnProgress | None = None
) -> RecordingReport:
    """Record `root/TASK/{train,test,pool}/NAME`; demonstrations that exist are kept.

    The same settings give the same episodes, in whatever pieces they are recorded.

    Raises:
        ConfigError: unknown task, a missing simulator, or `root` holds other settings.
        DatasetError: the expert keeps failing.
    """
    task = task_named(settings.task)
    folder = Path(root) / settings.task
    _claim(folder, settings)
    counts = {split: getattr(settings, split) for split in SPLITS}
    total, done, recorded, failed = sum(counts.values()), 0, 0, 0
    recorder: Recorder | None = None
    try:
        for number, split in enumerate(SPLITS):
            first = settings.seed * len(SPLITS) * SEEDS_PER_SPLIT + number * SEEDS_PER_SPLIT
            for index in range(counts[split]):
                # A seed of its own per demonstration, also where the expert needed several tries.
                seed = first + index * MAX_FAILURES
                name = f"{settings.task}_{split}_{index:04d}"
                if not (folder / split / name).exists():
                    recorder = recorder or task.recorder(settings)
                    episode, tries = _try(recorder, seed, settings.task)
                    failed += tries - 1
                    _write(folder / split, name, settings, episode, seed + tries - 1)
                    recorded += 1
                done += 1
                if on_progress is not None:
                    on_progress(done, total)
    finally:
        if recorder is not None:
            recorder.close()
    return RecordingReport(recorded, failed)


def _try(recorder: Recorder, seed: int, task: str) -> tuple[Episode, int]:
    for attempt in range(MAX_FAILURES):
        episode = recorder.episode(seed + attempt)
        if episode is not None:
            return episode, attempt + 1
    raise DatasetError(
        f"task {task}: the expert failed {MAX_FAILURES} times in a row from seed {seed}"
    )


def _write(root: Path, name: str, settings: TaskSettings, episode: Episode, seed: int) -> None:
    height, width = episode.frames_rgb[0].shape[:2]
    meta = new_meta(
        name=name,
        task=settings.task,
        camera=_camera_info(settings.task, (width, height), episode.fovy_rad),
        action_scale=ActionScale.METRIC,
        provenance={"tool": "vinn tasks record", "seed": seed, **episode.provenance},
    )
    write_demonstration(
        root, meta, list(episode.frames_rgb), episode.camera_delta_m, episode.gripper
    )


def _camera_info(task: str, size: tuple[int, int], fovy_rad: float | None) -> CameraInfo:
    width, height = size
    camera = CameraInfo(name=f"{task}-wrist", width_px=width, height_px=height)
    if fovy_rad is None:
        return camera
    focal_px = 0.5 * height / math.tan(0.5 * fovy_rad)
    return camera.model_copy(
        update={
            "fx_px": focal_px,
            "fy_px": focal_px,
            "cx_px": 0.5 * (width - 1),
            "cy_px": 0.5 * (height - 1),
        }
    )


def _claim(folder: Path, settings: TaskSettings) -> None:
    """Counts may grow between calls; anything else would mix two recordings in one folder."""
    path = folder / "task.yaml"
    if path.exists():
        found = load_config(path, TaskSettings)
        counts = set(SPLITS)
        for key, value in settings.model_dump().items():
            if key not in counts and getattr(found, key) != value:
                raise ConfigError(
                    f"{path}: recorded with {key} = {getattr(found, key)}, wanted {value}; use "
                    "another folder"
                )
    folder.mkdir(parents=True, exist_ok=True)
    write_config(settings, path)
