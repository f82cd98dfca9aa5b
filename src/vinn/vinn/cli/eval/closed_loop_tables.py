"""`vinn eval closed-loop-tables`: tables I and II, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vinn.cli.console import err, out, progress_bar
from vinn.cli.eval.closed_loop import Processes
from vinn.cli.eval.tables import RayAddress
from vinn.evaluation.statistics import SuccessRate, share_at_first
from vinn.evaluation.trial_pool import TrialPool
from vinn.paper.closed_loop.config import load_closed_loop_config
from vinn.paper.closed_loop.output import (
    TITLES,
    closed_loop_results,
    tables_markdown,
    write_outputs,
)
from vinn.paper.closed_loop.run import SEEN, Outcomes, read_outcomes, run_closed_loop
from vinn.paper.closed_loop.workers import run_closed_loop_by_workers
from vinn.paper.methods import method_named
from vinn.paper.offline.config import claim_workspace, load_tables_config
from vinn.paper.offline.tables import measure_method
from vinn.paper.workspace import Workspace
from vinn.tasks.data import open_task
from vinn.tasks.recording import record_task
from vinn.tasks.registry import task_settings

TASK = "door"


def closed_loop_tables(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of tables and figures.")] = Path(
        "docs/results"
    ),
    work: Annotated[
        Path, typer.Option(help="Folder of what is trained; that of `vinn eval tables` will do.")
    ] = Path("runs/tables"),
    preset: Annotated[
        str, typer.Option(help="Name of a preset (quick, reduced), or a YAML file.")
    ] = "reduced",
    data: Annotated[
        Path | None,
        typer.Option(help="Recorded tasks; WORK/data by default. Made if it is missing."),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Do the trials of these rows only; the tables show all there are."),
    ] = None,
    trials_only: Annotated[
        bool, typer.Option("--trials-only", help="Write no tables: for one of several processes.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(min=1, help="More than 1: trials by so many workers of Ray ('ray' extra)."),
    ] = 1,
    ray_address: RayAddress = None,
    processes: Processes = None,
) -> None:
    """Tables I and II and figure 5 on the door task; a killed run goes on with the next trial."""
    config = load_closed_loop_config(preset)
    training = load_tables_config(config.training)
    claim_workspace(work, training)
    root = data or work / "data"
    settings = task_settings(TASK, **training.record)
    with progress_bar(f"recording {TASK}") as progress:
        record_task(settings, root, progress)
    task = open_task(root, TASK, config.actions)
    wanted = config
    if methods is not None:
        names = [method_named(word.strip()).name for word in methods.split(",")]
        wanted = config.model_copy(
            update={
                "methods": tuple(name for name in config.methods if name in names),
                "general_methods": tuple(n for n in config.general_methods if n in names),
            }
        )
    workspace = Workspace(work, training, [task])
    try:
        with trials_progress() as on_trial, TrialPool(processes) as pool:
            if workers == 1 and ray_address is None:
                run_closed_loop(wanted, task, workspace, on_trial, pool)
            else:
                run_closed_loop_by_workers(wanted, task, workspace, workers, ray_address, on_trial)
        if trials_only:
            return
        outcomes = read_outcomes(config, task, workspace)
        offline = {
            method: measure_method(workspace, method_named(method), task, config.policy_seed)["mse"]
            for condition, method in outcomes
            if condition == SEEN
        }
    finally:
        workspace.close()
    command = f"vinn eval closed-loop-tables --preset {preset}"
    results = closed_loop_results(config, outcomes, offline, command)
    markdown = tables_markdown(config, outcomes, training.caption, command)
    write_outputs(config, results, markdown, outcomes, offline, out_dir)
    out.print(_table(outcomes))
    out.print(f"written to {out_dir}", highlight=False, soft_wrap=True)
    for row in results.missed:
        err.print(f"missed: {row.name}: {row.value}, wanted {row.goal}", highlight=False)


def _table(outcomes: Outcomes) -> Table:
    conditions = list(dict.fromkeys(condition for condition, _ in outcomes))
    table = Table("method", *(TITLES[condition] for condition in conditions), title="opened doors")
    for method in dict.fromkeys(method for _, method in outcomes):
        cells = [
            f"{SuccessRate.of(trial.opened for trial in outcomes[condition, method])}, first "
            f"{share_at_first(trial.first_attempt for trial in outcomes[condition, method])}"
            if (condition, method) in outcomes
            else ""
            for condition in conditions
        ]
        table.add_row(method_named(method).title, *cells)
    return table


@contextmanager
def trials_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr with the trial that comes next."""
    columns = (
        TextColumn("trials"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task("", total=None)

        def update(done: int, total: int, what: str) -> None:
            progress.update(bar, completed=done, total=total, description=what)

        yield update
