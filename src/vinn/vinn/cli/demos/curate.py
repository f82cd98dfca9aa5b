"""`vinn demos merge`, `delete`, `trim`, `change-rate` and `rank`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vinn.cli.console import out, progress_bar
from vinn.demos import curation
from vinn.demos.curation import Curated
from vinn.demos.store import Dataset
from vinn.errors import DatasetError
from vinn.viz.output import write_text

Root = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of demonstrations.")]
Target = Annotated[Path, typer.Option("--out", help="New folder; DIR stays as it is.")]


def merge(
    roots: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders, two or more.")],
    target: Target,
    prefix: Annotated[
        bool, typer.Option("--prefix", help="Call each demonstration FOLDER-NAME.")
    ] = False,
) -> None:
    """All demonstrations of several folders in one; the same twice is refused."""
    _tell(target, curation.merge([Dataset.open(root) for root in roots], target, prefix))


def delete(
    root: Root,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Demonstrations.")],
    target: Target,
) -> None:
    """All demonstrations but these."""
    _tell(target, curation.delete(Dataset.open(root), names, target))


def trim(
    root: Root,
    target: Target,
    name: Annotated[
        str | None, typer.Option(help="Of the demonstration to cut, with --first and --last.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="Its first frame that stays.")] = 0,
    last: Annotated[
        int | None, typer.Option(min=0, help="Its last frame that stays; its last by default.")
    ] = None,
    still: Annotated[
        bool,
        typer.Option(
            "--still", help="Instead: cut what stands still at both ends of every demonstration."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Though the gripper opens or closes in what is cut off.")
    ] = False,
) -> None:
    """Cut frames off a demonstration's ends."""
    if still != (name is None) or (still and (first or last is not None)):
        raise DatasetError("trim: give --name with --first or --last, or --still alone")
    dataset = Dataset.open(root)
    if name is None:
        _tell(target, curation.trim_still(dataset, target))
        return
    end = len(dataset.only(name).demonstrations[0]) - 1 if last is None else last
    _tell(target, curation.trim(dataset, name, first, end, target, force))


def change_rate(
    root: Root,
    target: Target,
    every: Annotated[int, typer.Option(help="So many steps become one.")],
) -> None:
    """Fewer, longer steps; no change of the gripper is lost."""
    _tell(target, curation.change_rate(Dataset.open(root), every, target))


def rank(
    root: Root,
    encoder: Annotated[Path, typer.Option(help="Encoder artefact.")],
    k: Annotated[int, typer.Option(min=1, help="Neighbours in other demonstrations.")] = 10,
    out_file: Annotated[Path | None, typer.Option("--out", help="JSON file to write.")] = None,
) -> None:
    """Demonstrations by how badly their neighbours agree with them, the worst first."""
    # What is needed here alone is imported here: the area's other commands stay quick.
    from vinn.encoders.encoder import load_for_datasets
    from vinn.policies.artefacts.agreement import rank_demonstrations
    from vinn.policies.artefacts.embedding import embed_dataset
    from vinn.policies.memory import ActionMemory

    dataset = Dataset.open(root).with_actions()
    with progress_bar("embedding") as progress:
        embedded = embed_dataset(dataset, load_for_datasets(encoder), progress)
    found = rank_demonstrations(embedded.embeddings, ActionMemory.of(dataset), k)
    table = Table("demonstration", "frames", "disagreement", "worst frame", "distance")
    for each in found:
        numbers = (f"{each.disagreement:.2f}", str(each.worst_frame), f"{each.distance:.2f}")
        table.add_row(each.name, str(each.frames), *numbers)
    out.print(table)
    if out_file is not None:
        write_text(out_file, json.dumps([asdict(each) for each in found], indent=2) + "\n")


def register(app: typer.Typer) -> None:
    """Add the commands to the app of `vinn demos`."""
    app.command("merge")(merge)
    app.command("delete")(delete)
    app.command("trim")(trim)
    app.command("change-rate")(change_rate)
    app.command("rank")(rank)


def _tell(target: Path, made: Curated) -> None:
    lost = f", {made.lost} frames left out" if made.lost else ""
    out.print(
        f"{target}: {made.demonstrations} demonstrations, {made.frames} frames{lost}",
        highlight=False,
        soft_wrap=True,
    )
