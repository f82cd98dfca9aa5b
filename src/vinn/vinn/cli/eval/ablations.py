"""`vinn eval beyond`: what lies beyond the paper, measured; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import err, out, progress_bar
from vinn.cli.eval.closed_loop import Processes
from vinn.cli.eval.closed_loop_tables import TASK, trials_progress
from vinn.evaluation.trial_pool import TrialPool
from vinn.paper.ablations.output import beyond_results
from vinn.paper.ablations.run import load_beyond_config, run_beyond
from vinn.paper.offline.config import claim_workspace, load_tables_config
from vinn.paper.workspace import Workspace
from vinn.tasks.data import open_task
from vinn.tasks.recording import record_task
from vinn.tasks.registry import task_settings


def beyond(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path(
        "docs/results"
    ),
    work: Annotated[Path, typer.Option(help="Folder of what is built and measured.")] = Path(
        "runs/beyond"
    ),
    preset: Annotated[
        str, typer.Option(help="Name of a preset (reduced, validation), or a YAML file.")
    ] = "reduced",
    data: Annotated[
        Path | None,
        typer.Option(help="Recorded tasks; WORK/data by default. Made if it is missing."),
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Measure nothing; write what there is.")
    ] = False,
    processes: Processes = None,
) -> None:
    """`vinn-plus`, its switches and DARP on the door task: offline and in closed loop.

    A killed run goes on with the next trial.
    """
    config = load_beyond_config(preset)
    training = load_tables_config(config.main.training)
    claim_workspace(work, training)
    root = data or work / "data"
    with progress_bar(f"recording {TASK}") as progress:
        record_task(task_settings(TASK, **training.record), root, progress)
    task = open_task(root, TASK)
    workspace = Workspace(work, training, [task])
    try:
        if not report_only:
            with trials_progress() as on_trial, TrialPool(processes) as pool:
                run_beyond(config, task, workspace, on_trial, pool)
        results = beyond_results(config, task, workspace, f"vinn eval beyond --preset {preset}")
    finally:
        workspace.close()
    results.write(out_dir)
    out.print(f"written to {out_dir}", highlight=False, soft_wrap=True)
    for row in results.missed:
        err.print(f"missed: {row.name}: {row.value}, wanted {row.goal}", highlight=False)
