"""`vinn demos`: look at, validate, split and curate demonstrations."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from vinn.cli.console import out, progress_bar
from vinn.cli.demos import curate as demos_curate
from vinn.cli.demos import formats as demos_formats
from vinn.cli.demos.add import add
from vinn.demos.checksums import CHECKSUMS
from vinn.demos.curation import link_or_copy
from vinn.demos.files import atomic_directory
from vinn.demos.hindsight import missing_after, of_demonstration
from vinn.demos.store import Dataset, validate_dataset
from vinn.demos.types import ActionScale, Demonstration, GripperState
from vinn.errors import DatasetError

app = typer.Typer(no_args_is_help=True)
app.command("add")(add)
demos_formats.register(app)
demos_curate.register(app)

Root = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of demonstrations.")]


@app.command()
def info(root: Root) -> None:
    """Summarise a dataset: counts, step lengths, gripper states."""
    dataset = Dataset.open(root)
    table = Table(title=str(root), show_header=False)
    table.add_row("demonstrations", str(len(dataset)))
    table.add_row("frames", str(dataset.frame_count))
    lengths = [len(demonstration) for demonstration in dataset.demonstrations]
    table.add_row("frames per demonstration", _spread(np.array(lengths, float), "g"))
    sizes = Counter(
        f"{d.meta.camera.width_px}x{d.meta.camera.height_px}" for d in dataset.demonstrations
    )
    table.add_row("image size", _counts(sizes))
    table.add_row("tasks", _counts(Counter(d.meta.task for d in dataset.demonstrations)))
    cabinets = Counter(
        str(d.meta.provenance["cabinet"])
        for d in dataset.demonstrations
        if "cabinet" in d.meta.provenance
    )
    if cabinets:
        table.add_row("cabinets", _counts(cabinets))
    acting = [d for d in dataset.demonstrations if d.meta.has_actions]
    table.add_row("without actions", str(len(dataset) - len(acting)))
    if acting:
        steps = np.linalg.norm(np.concatenate([d.camera_delta for d in acting]), axis=1)
        metric = dataset.action_scale is ActionScale.METRIC
        moving = steps[steps > 0]
        table.add_row("action scale", "metres" if metric else "unit vectors")
        if len(moving):
            values = _spread(moving * 100, ".2f") + " cm" if metric else _spread(moving, ".2f")
            table.add_row("step length (moving)", values)
        table.add_row("steps that stand still", f"{len(steps) - len(moving)} of {len(steps)}")
        states = Counter(np.concatenate([d.gripper for d in acting]).tolist())
        for state in GripperState:
            share = states[state] / len(steps)
            label = state.name.lower().replace("_", " ")
            bar = "█" * round(30 * share)
            table.add_row(
                f"gripper {int(state)} ({label})", f"{states[state]:6d} {share:5.1%} {bar}"
            )
    if acting:
        table.add_row("grasp points", _grasp_points(acting, dataset.action_scale))
    table.add_row("hash", dataset.hash[:16])
    out.print(table)


@app.command()
def validate(root: Root) -> None:
    """Decode every frame and check every table and hash; exit code 2 if anything is bad."""
    with progress_bar("validating") as progress:
        report = validate_dataset(root, progress)
    out.print(
        f"{report.demonstrations} good demonstrations, {report.frames} good frames, "
        f"{len(report.bad)} problems",
        highlight=False,
    )
    if report.unlisted:
        out.print(
            f"{report.unlisted} demonstrations without {CHECKSUMS}: whether their actions have "
            "changed cannot be told",
            highlight=False,
        )
    if not report.ok:
        more = f" (and {len(report.bad) - 1} more)" if len(report.bad) > 1 else ""
        raise DatasetError(f"{report.bad[0]}{more}")


@app.command()
def split(
    root: Root,
    parts: Annotated[
        str, typer.Option(help="Shares of the demonstrations, e.g. train=0.8,test=0.2")
    ] = "train=0.8,test=0.2",
    seed: Annotated[int, typer.Option(min=0, help="Of the permutation.")] = 0,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Write OUT/PART/NAME (hard links where possible)."),
    ] = None,
) -> None:
    """Split by demonstration into disjoint parts; the same seed gives the same split."""
    splits = Dataset.open(root).split(_fractions(parts), seed)
    for part, dataset in splits.items():
        names = " ".join(d.meta.name for d in dataset.demonstrations)
        out.print(
            f"{part}: {len(dataset)} demonstrations, {dataset.frame_count} frames: {names}",
            highlight=False,
            soft_wrap=True,
        )
    if out_dir is None:
        return
    with atomic_directory(out_dir, DatasetError) as folder:
        for part, dataset in splits.items():
            for demonstration in dataset.demonstrations:
                name = demonstration.meta.name
                shutil.copytree(root / name, folder / part / name, copy_function=link_or_copy)


def _fractions(text: str) -> dict[str, float]:
    fractions: dict[str, float] = {}
    for item in text.split(","):
        name, separator, value = item.partition("=")
        name = name.strip()
        try:
            share = float(value)
        except ValueError:
            separator = ""
        if not separator or not name.isidentifier() or name in fractions:
            raise DatasetError(
                f"--parts: '{text}'; allowed: NAME=SHARE,... e.g. train=0.8,test=0.2"
            )
        fractions[name] = share
    return fractions


def _grasp_points(acting: list[Demonstration], scale: ActionScale) -> str:
    """Of how many frames hindsight knows where the gripper changes next, by phase."""
    labels = [of_demonstration(demonstration) for demonstration in acting]
    never = sum(not label.changes for label in labels)
    missing = sum(bool(missing_after(demonstration.meta)) for demonstration in acting)
    lines = []
    for phase in range(max(len(label.changes) for label in labels)):
        known = [label.to_change[label.labelled & (label.phase == phase)] for label in labels]
        ways = np.linalg.norm(np.concatenate(known), axis=1)
        if not len(ways):
            continue
        word = "closes" if phase % 2 == 0 else "opens"
        unit = (
            f"{100 * ways.max():.0f} cm"
            if scale is ActionScale.METRIC
            else f"{ways.max():.0f} steps"
        )
        lines.append(
            f"{word}: {len(ways)} frames of {sum(len(k) > 0 for k in known)} demonstrations, "
            f"from up to {unit} away"
        )
    if never:
        lines.append(f"{never} demonstrations without a closing")
    if missing:
        lines.append(f"{missing} with steps left out: no way across these")
    return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counter.items()))


def _spread(values: np.ndarray, form: str) -> str:
    low, middle, high = (format(float(np.quantile(values, q)), form) for q in (0, 0.5, 1))
    return f"{middle} (median), {low} .. {high}"
