"""`vinn eval tasks`: any tasks in closed loop, every row in the same trials; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import err, out, stage_bars
from vinn.cli.eval.closed_loop import Processes
from vinn.cli.eval.closed_loop_tables import trials_progress
from vinn.evaluation.trial_pool import TrialPool
from vinn.paper.offline.config import claim_workspace, load_tables_config
from vinn.paper.tasks.config import load_task_tables_config
from vinn.paper.tasks.films import films_page
from vinn.paper.tasks.output import table_markdown, task_results
from vinn.paper.tasks.run import (
    read_outcomes,
    read_refusals,
    record_tasks,
    run_task_tables,
)
from vinn.paper.workspace import Workspace
from vinn.viz.output import write_text


def tasks(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path(
        "docs/results"
    ),
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of what is built and measured; runs/PRESET by default."),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="Name of a preset (tasks, metaworld, ...), or a YAML file.")
    ] = "tasks",
    data: Annotated[
        Path | None,
        typer.Option(help="Recorded tasks; WORK/data by default. Made if they are missing."),
    ] = None,
    names: Annotated[
        str | None, typer.Option("--tasks", help="These of the preset's tasks only, with commas.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="These of its rows only, with commas.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="These of its seeds only, with commas.")] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Measure nothing; write what there is.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(help="HTML page to write: a success and a failure of the best row a task."),
    ] = None,
    processes: Processes = None,
) -> None:
    """Every row of a preset on its tasks, the same trials for each, with intervals.

    A killed run goes on with the next trial.
    """
    config = load_task_tables_config(preset).part(_words(names), _words(methods), _words(seeds))
    training = load_tables_config(config.training)
    name = Path(preset).stem
    work = work or Path("runs") / name
    claim_workspace(work, training)
    with stage_bars() as on_stage:
        recorded = record_tasks(config, training, data or work / "data", on_stage)
    workspace = Workspace(work, training, [task.data for task in recorded])
    command = f"vinn eval tasks --preset {preset}"
    try:
        if not report_only:
            with trials_progress() as on_trial, TrialPool(processes) as pool:
                run_task_tables(config, recorded, workspace, on_trial, pool)
        outcomes = read_outcomes(config, recorded, workspace)
        refusals = read_refusals(config, recorded, workspace)
        if page is not None:
            films_page(config, recorded, workspace, outcomes, page)
    finally:
        workspace.close()
    stem = name.replace("-", "_")
    results = task_results(stem, config, outcomes, refusals, command)
    results.write(out_dir)
    table = table_markdown(config, outcomes, refusals, training.caption, command)
    write_text(out_dir / f"{stem}_tables.md", table)
    out.print(f"written to {out_dir}", highlight=False, soft_wrap=True)
    for row in results.missed:
        err.print(f"missed: {row.name}: {row.value}, wanted {row.goal}", highlight=False)


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(","))
