"""`vinn train`: self-supervised encoders and cloned policies (torch), grasp points (NumPy)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vinn.cli.console import err, out, stage_bars
from vinn.demos.store import Dataset
from vinn.learning.config import cloning_config, grasp_point_config, self_supervision_config
from vinn.learning.grasp.training import train_grasp_point
from vinn.paper.grasp.detectors import robot_config

app = typer.Typer(no_args_is_help=True)

Demos = Annotated[list[Path], typer.Argument(metavar="DEMOS...", help="Folders of demonstrations.")]
OneDemos = Annotated[Path, typer.Argument(metavar="DEMOS", help="Folder of demonstrations.")]
Out = Annotated[
    Path, typer.Option("--out", help="Folder of the run; an unfinished run in it is taken up.")
]
Config = Annotated[Path | None, typer.Option("--config", help="YAML file of settings.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
]


@app.command()
def byol(demos: Demos, out_dir: Out, config: Config = None, settings: Overrides = None) -> None:
    """Train an encoder by BYOL, the paper's choice."""
    _self_supervision("byol", demos, out_dir, config, settings)


@app.command()
def simclr(demos: Demos, out_dir: Out, config: Config = None, settings: Overrides = None) -> None:
    """Train an encoder by SimCLR."""
    _self_supervision("simclr", demos, out_dir, config, settings)


@app.command()
def vicreg(demos: Demos, out_dir: Out, config: Config = None, settings: Overrides = None) -> None:
    """Train an encoder by VICReg."""
    _self_supervision("vicreg", demos, out_dir, config, settings)


@app.command()
def bc(demos: OneDemos, out_dir: Out, config: Config = None, settings: Overrides = None) -> None:
    """Clone behaviour end to end: encoder and head together."""
    _cloning("bc", demos, out_dir, config, settings)


@app.command("bc-rep")
def bc_rep(
    demos: OneDemos, out_dir: Out, config: Config = None, settings: Overrides = None
) -> None:
    """Clone behaviour on a frozen encoder's embeddings (--set encoder=DIR)."""
    _cloning("bc-rep", demos, out_dir, config, settings)


@app.command()
def ibc(demos: OneDemos, out_dir: Out, config: Config = None, settings: Overrides = None) -> None:
    """Implicit behaviour cloning; on a frozen encoder with --set encoder=DIR."""
    _cloning("ibc", demos, out_dir, config, settings)


@app.command("grasp-point")
def grasp_point(
    demos: OneDemos,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to make; must not exist.")],
    encoder: Annotated[Path, typer.Option(help="Encoder artefact whose feature maps are used.")],
    robot: Annotated[
        Path | None,
        typer.Option(help="Robot's YAML file: how the camera sits; the simulator's if left out."),
    ] = None,
    config: Config = None,
    settings: Overrides = None,
) -> None:
    """Train a detector of where the gripper will close, from the demonstrations' hindsight."""
    found = grasp_point_config(config, settings or ())
    with stage_bars() as on_stage:
        train_grasp_point(
            Dataset.open(demos), encoder, out_dir, robot_config(robot), found, on_stage
        )
    out.print(f"detector: {out_dir}", highlight=False, soft_wrap=True)


def _self_supervision(
    method: str, demos: list[Path], out_dir: Path, file: Path | None, overrides: list[str] | None
) -> None:
    from vinn.learning.encoder_training import train_encoder

    config = self_supervision_config(method, file, overrides or ())
    datasets = [Dataset.open(folder) for folder in demos]
    with _progress(f"training by {method}") as progress:
        encoder = train_encoder(datasets, config, out_dir, progress)
    out.print(f"encoder: {encoder}", highlight=False, soft_wrap=True)


def _cloning(
    method: str, demos: Path, out_dir: Path, file: Path | None, overrides: list[str] | None
) -> None:
    from vinn.learning.policy_training import train_policy

    config = cloning_config(method, file, overrides or ())
    dataset = Dataset.open(demos)
    with _progress(f"training by {method}") as progress:
        policy = train_policy(dataset, config, out_dir, progress)
    out.print(f"policy: {policy}", highlight=False, soft_wrap=True)


@contextmanager
def _progress(description: str) -> Iterator[Callable[[int, int, float], None]]:
    """A bar on stderr with the loss and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(description, total=None, loss="-")

        def update(done: int, total: int, loss: float) -> None:
            progress.update(task, completed=done, total=total, loss=f"{loss:.4f}")

        yield update
