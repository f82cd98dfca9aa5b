"""`vinn ingest`: videos to demonstrations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vinn.cli.console import err, out
from vinn.cli.ingest_page import write_clip_page
from vinn.errors import DatasetError, VinnError
from vinn.ingest.assignment import assign_clips
from vinn.ingest.batch import ClipResult, process_clips
from vinn.ingest.clip import MANUAL, ClipFolder
from vinn.ingest.gripper.source import open_source
from vinn.ingest.lenses.camera_profile import find_profile
from vinn.ingest.motion.sfm import require_pycolmap
from vinn.ingest.pipeline import IngestSettings, write_clip

PROFILE_FOLDERS = (
    Path("config/cameras"),
    Path(__file__).parents[4] / "config" / "cameras",
)
"""Where your own profiles are looked up by name: here, and in a checkout of the project."""

app = typer.Typer(no_args_is_help=True)


@app.command()
def ingest(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO", help="Files, one demonstration each.")
    ],
    camera: Annotated[str, typer.Option(help="Camera profile: a name or a YAML file.")],
    out_root: Annotated[Path, typer.Option("--out", help="Folder of the dataset.")],
    task: Annotated[str, typer.Option(help="What is demonstrated.")] = "door_opening",
    rate: Annotated[float, typer.Option(help="Actions per second of video.")] = 1.0,
    frames_per_step: Annotated[int, typer.Option(help="Frames reconstructed per action.")] = 3,
    mask: Annotated[
        str, typer.Option(help="Gripper mask: profile, auto, none, or an image file.")
    ] = "profile",
    gripper: Annotated[
        str | None,
        typer.Option(
            help="Gripper states: a trained classifier's file, or an ArUco profile. Manual labels "
            "stay."
        ),
    ] = None,
    start: Annotated[float, typer.Option(help="Where the clips begin, in seconds.")] = 0.0,
    end: Annotated[float, typer.Option(help="Where the clips end, in seconds.")] = float("inf"),
    max_clip: Annotated[float, typer.Option(help="Longest clip, in seconds.")] = 180.0,
    jobs: Annotated[int, typer.Option(help="Clips processed at a time.", min=1)] = 2,
) -> None:
    """Reconstruct the camera's path of each video and write what passes the quality gate.

    Work and a page per clip land beside the dataset in OUT.ingest; run the same command again to
    resume after an interruption.
    """
    profile = find_profile(camera, PROFILE_FOLDERS)
    settings = replace(
        IngestSettings(),
        action_rate_hz=rate,
        frames_per_step=frames_per_step,
        mask=mask,
        start_s=start,
        end_s=end,
        max_clip_s=max_clip,
    )
    source = None if gripper is None else open_source(gripper)
    require_pycolmap()
    work_root = out_root.parent / f"{out_root.name}.ingest"
    with err.status("looking at the films"):
        assigned = assign_clips(videos, work_root, out_root, start, end)
    tasks = assigned.tasks
    for note in assigned.notes:
        err.print(note, markup=False, highlight=False, soft_wrap=True)
    rows: list[tuple[str, str, str]] = []
    problems: list[str] = []
    with _bars() as bars:
        bar = {t.name: bars.add_task(t.name, total=1.0, stage="waiting") for t in tasks}

        def finished(result: ClipResult) -> None:
            bars.update(bar[result.name], completed=1.0, stage="done")
            clip, error = ClipFolder(work_root / result.name), result.error
            if error is None:
                try:
                    accepted = clip.assessment is not None and clip.assessment.failure is None
                    if source is not None and accepted and clip.gripper_source != MANUAL:
                        clip.write_gripper(source.name, source.states(clip))
                    written = write_clip(clip, out_root, task)
                    write_clip_page(clip)
                    rows.append((result.name, "kept" if written else "rejected", _verdict(clip)))
                except VinnError as cause:
                    error = f"clip {result.name}: {cause}"
            if error is not None:
                problems.append(error)
                rows.append((result.name, "failed", error))

        process_clips(
            tasks,
            profile,
            settings,
            work_root,
            jobs,
            lambda name, stage, share: bars.update(bar[name], completed=share, stage=stage),
            finished,
        )
    table = Table("clip", "verdict", "why", title=f"{out_root}  (pages: {work_root})")
    for row in sorted(rows):
        table.add_row(*row)
    out.print(table)
    kept = sum(verdict == "kept" for _, verdict, _ in rows)
    if gripper is None and kept:
        err.print(
            "gripper states are unlabelled (all open): run 'vinn gripper label "
            f"{work_root}' or pass --gripper",
            markup=False,
        )
    if problems:
        raise DatasetError(f"{len(problems)} of {len(tasks)} clips failed; first: {problems[0]}")
    if not kept:
        raise DatasetError(f"no clip of {len(tasks)} passed the quality gate; see {work_root}")


def _verdict(clip: ClipFolder) -> str:
    assessment = clip.assessment
    if assessment is None:
        return "not assessed"
    if assessment.failure is not None:
        return assessment.failure
    reasons = Counter(s.reason.value for s in assessment.steps if not s.kept)
    dropped = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    kept = sum(step.kept for step in assessment.steps)
    return f"{kept} of {len(assessment.steps)} steps" + (f"; dropped: {dropped}" * bool(dropped))


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
        console=err,
    )
