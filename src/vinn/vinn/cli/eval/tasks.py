"""`vinn eval tasks`: tasks other than the door in closed loop; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import out, progress_bar
from vinn.cli.eval.closed_loop_tables import trials_progress
from vinn.demos.types import ActionScale
from vinn.paper.closed_loop.config import load_closed_loop_config
from vinn.paper.grasp.point import PRESETS
from vinn.paper.offline.config import claim_workspace, load_tables_config
from vinn.paper.tasks.tables import TASKS_MEASURED, run_task_tables, task_results
from vinn.paper.workspace import Workspace
from vinn.tasks.data import open_task
from vinn.tasks.recording import record_task
from vinn.tasks.registry import task_settings


def tasks(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path(
        "docs/results"
    ),
    work: Annotated[Path, typer.Option(help="Folder of what is built and measured.")] = Path(
        "runs/tasks"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="Recorded tasks; WORK/data by default. Made if they are missing."),
    ] = None,
    names: Annotated[
        str, typer.Option("--tasks", help="Names from `vinn tasks list`, with commas.")
    ] = ",".join(TASKS_MEASURED),
    trials: Annotated[int, typer.Option(min=1, help="Of each row.")] = 20,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Measure nothing; write what there is.")
    ] = False,
) -> None:
    """Preset `grasp-point` beside `vinn-plus` on other tasks, the same trials for both.

    A killed run goes on with the next row.
    """
    training = load_tables_config(load_closed_loop_config(PRESETS[0]).training)
    claim_workspace(work, training)
    root = data or work / "data"
    found = []
    for name in (part.strip() for part in names.split(",")):
        settings = task_settings(name, **{**training.record, "test": 1})
        with progress_bar(f"recording {name}") as progress:
            record_task(settings, root, progress)
        found.append(open_task(root, name, ActionScale.METRIC))
    workspace = Workspace(work, training, found)
    try:
        if not report_only:
            with trials_progress() as on_trial:
                run_task_tables(found, workspace, trials, on_trial)
        results = task_results(found, workspace, trials, "vinn eval tasks")
    finally:
        workspace.close()
    results.write(out_dir)
    out.print(f"written to {out_dir}", highlight=False, soft_wrap=True)
