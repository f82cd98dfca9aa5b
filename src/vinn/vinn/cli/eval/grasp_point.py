"""`vinn eval grasp-point`: doors that no demonstration shows; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import err, out, progress_bar
from vinn.cli.eval.closed_loop import Processes
from vinn.cli.eval.closed_loop_tables import TASK, trials_progress
from vinn.demos.types import ActionScale
from vinn.evaluation.trial_pool import TrialPool
from vinn.paper.closed_loop.config import load_closed_loop_config
from vinn.paper.grasp.point import PARTS, PRESETS, grasp_point_results, run_grasp_point
from vinn.paper.offline.config import claim_workspace, load_tables_config
from vinn.paper.workspace import Workspace
from vinn.tasks.data import open_task
from vinn.tasks.recording import record_task
from vinn.tasks.registry import task_settings


def grasp_point(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path(
        "docs/results"
    ),
    work: Annotated[Path, typer.Option(help="Folder of what is built and measured.")] = Path(
        "runs/grasp-point"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="Recorded tasks; WORK/data by default. Made if it is missing."),
    ] = None,
    parts: Annotated[
        str, typer.Option(help=f"What to measure, with commas: {', '.join(PARTS)}.")
    ] = ",".join(PARTS),
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Measure nothing; write what there is.")
    ] = False,
    processes: Processes = None,
) -> None:
    """Preset `grasp-point` on cabinets with and without demonstrations, against the others.

    A killed run goes on with the next trial.
    """
    training = load_tables_config(load_closed_loop_config(PRESETS[0]).training)
    claim_workspace(work, training)
    root = data or work / "data"
    with progress_bar(f"recording {TASK}") as progress:
        record_task(task_settings(TASK, **training.record), root, progress)
    task = open_task(root, TASK, ActionScale.METRIC)
    workspace = Workspace(work, training, [task])
    try:
        if not report_only:
            with trials_progress() as on_trial, TrialPool(processes) as pool:
                wanted = tuple(part.strip() for part in parts.split(","))
                run_grasp_point(wanted, task, workspace, on_trial, pool)
        results = grasp_point_results(task, workspace, "vinn eval grasp-point")
    finally:
        workspace.close()
    results.write(out_dir)
    out.print(f"written to {out_dir}", highlight=False, soft_wrap=True)
    for row in results.missed:
        err.print(f"missed: {row.name}: {row.value}, wanted {row.goal}", highlight=False)
