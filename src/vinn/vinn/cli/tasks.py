"""`vinn tasks`: the tasks with scripted experts, and their recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vinn.cli.console import out, progress_bar
from vinn.tasks.metaworld_environments import ENVIRONMENTS
from vinn.tasks.recording import record_task
from vinn.tasks.registry import TASKS, task_settings

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_tasks() -> None:
    """List the tasks."""
    table = Table("task", "what", "stands for (table III)", "extra")
    for task in TASKS.values():
        table.add_row(task.name, task.description, task.paper_task or "-", task.needs)
    table.add_row("NAME-v3", "any environment of Meta-World, as named below", "-", "tasks")
    out.print(table)
    out.print(", ".join(ENVIRONMENTS), highlight=False)


@app.command()
def record(
    name: Annotated[str, typer.Argument(metavar="TASK", help="A name from `vinn tasks list`.")],
    root: Annotated[Path, typer.Option("--out", help="Recorded into OUT/TASK/{train,test,pool}.")],
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    train: Annotated[int | None, typer.Option(help="Demonstrations to learn from.")] = None,
    test: Annotated[int | None, typer.Option(help="Held-out demonstrations.")] = None,
    pool: Annotated[int | None, typer.Option(help="Further ones, for learning curves.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of all episodes.")] = None,
    image_px: Annotated[int | None, typer.Option(help="Side of the frames.")] = None,
    goal_visible: Annotated[
        bool | None, typer.Option(help="Meta-World: draw the goal's marker.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="Meta-World: a camera, or several with + between.")
    ] = None,
    frame_stride: Annotated[
        int | None, typer.Option(min=1, help="Meta-World: simulator steps per frame.")
    ] = None,
    frames_after_success: Annotated[
        int | None, typer.Option(min=0, help="Meta-World: frames shown once the task is done.")
    ] = None,
    difficulty: Annotated[str | None, typer.Option(help="Door: easy, hard or paper.")] = None,
) -> None:
    """Record a task's demonstrations; what is there already is kept."""
    settings = task_settings(
        name,
        config,
        train=train,
        test=test,
        pool=pool,
        seed=seed,
        image_px=image_px,
        goal_visible=goal_visible,
        camera=camera,
        frame_stride=frame_stride,
        frames_after_success=frames_after_success,
        difficulty=difficulty,
    )
    with progress_bar(f"recording {name}") as progress:
        report = record_task(settings, root, progress)
    out.print(
        f"{root / name}: {report.recorded} demonstrations recorded, {report.failed} episodes "
        "failed and were left out",
        highlight=False,
        soft_wrap=True,
    )
