"""Many clips at once, each in a process of its own, so that one crash costs one clip."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from vinn.errors import VinnError
from vinn.ingest.clip import ClipFolder
from vinn.ingest.lenses.camera_profile import CameraProfile
from vinn.ingest.pipeline import IngestSettings, process_clip

_ALMOST_FULL_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ClipTask:
    """A video and the name of the clip it becomes."""

    video: Path
    name: str


@dataclass(frozen=True)
class ClipResult:
    """How a clip ended.

    Attributes:
        name: of the clip.
        error: one line if the stages could not run (bad video, full disk); else None, and the
            clip's folder has the verdict.
        seconds: how long it took.
    """

    name: str
    error: str | None
    seconds: float


def process_clips(
    tasks: Sequence[ClipTask],
    profile: CameraProfile,
    settings: IngestSettings,
    work_root: Path,
    jobs: int = 2,
    on_progress: Callable[[str, str, float], None] | None = None,
    on_result: Callable[[ClipResult], None] | None = None,
) -> list[ClipResult]:
    """Process clips, `jobs` at a time.

    Args:
        tasks: names must differ.
        profile: of the camera.
        settings: for all clips.
        work_root: each clip works in `work_root / name`; what is done there is not done again.
        jobs: processes at a time.
        on_progress: called with (clip, stage, share done).
        on_result: called when a clip ends.

    Returns:
        Results in the order of `tasks`.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(tasks)
    running: dict[Connection, tuple[ClipTask, Any, float]] = {}
    results: dict[str, ClipResult] = {}
    try:
        while waiting or running:
            while waiting and len(running) < max(jobs, 1):
                task = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_work,
                    args=(task.video, profile, settings, work_root / task.name, theirs),
                    daemon=True,
                )
                process.start()
                theirs.close()
                running[ours] = (task, process, time.monotonic())
            for ready in cast(list[Connection], wait(list(running))):
                task, process, begin = running[ready]
                try:
                    message: tuple[Any, ...] = ready.recv()
                except EOFError:
                    process.join()
                    message = ("end", _death(process.exitcode, work_root))
                if message[0] == "progress":
                    if on_progress is not None:
                        on_progress(task.name, message[1], message[2])
                    continue
                process.join()
                ready.close()
                del running[ready]
                error = None if message[1] is None else f"clip {task.name}: {message[1]}"
                result = ClipResult(task.name, error, time.monotonic() - begin)
                results[task.name] = result
                if on_result is not None:
                    on_result(result)
    finally:
        for _, process, _ in running.values():
            # Not terminate: pycolmap answers that with a page of stack trace.
            process.kill()
            process.join()
    return [results[task.name] for task in tasks]


def _death(exit_code: int | None, work_root: Path) -> str:
    """Why a clip's process may have ended without a word."""
    there = next(folder for folder in (work_root, *work_root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < _ALMOST_FULL_BYTES:
        return f"its process died; the disk of {work_root} is full ({free / 2**20:.0f} MiB free)"
    return f"its process died (exit code {exit_code}); run the command again to resume"


def _work(
    video: Path,
    profile: CameraProfile,
    settings: IngestSettings,
    folder: Path,
    pipe: Connection,
) -> None:
    """Body of a clip's process."""
    import cv2

    # Ctrl-C reaches every process of a terminal; the one that started this one answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    error = None
    try:
        process_clip(
            video,
            profile,
            settings,
            ClipFolder(folder),
            lambda stage, share: pipe.send(("progress", stage, share)),
        )
    except VinnError as cause:
        error = str(cause)
    pipe.send(("end", error))
    pipe.close()
