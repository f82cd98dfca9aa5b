"""`vinn policy`: build policies from demonstrations, look at them, predict with them."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vinn.cli.console import out, stage_bars
from vinn.demos.checksums import CHECKSUMS
from vinn.demos.frames import read_image
from vinn.demos.store import Dataset
from vinn.errors import ArtefactError, ConfigError
from vinn.learning.darp_head import train_darp_head
from vinn.paper.grasp.detectors import DetectorTraining, robot_config
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.edit import remove_demonstrations
from vinn.policies.artefacts.manifest import INDEX_FOLDER
from vinn.policies.artefacts.selection import Selection
from vinn.policies.artefacts.verify import verify_artefact
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.nearest import nearest
from vinn.policies.kinds.registry import POLICY_KINDS
from vinn.policies.novelty import NoveltyMeasure
from vinn.policies.types import Prediction
from vinn.reading.documents import parse_yaml
from vinn.retrieval.index import IndexKind, build_index, kind_for

app = typer.Typer(no_args_is_help=True)

Artefact = Annotated[Path, typer.Argument(metavar="DIR", help="Policy artefact.")]
ROWS_SHOWN = 8


@app.command()
def build(
    demos: Annotated[Path, typer.Argument(metavar="DEMOS", help="Folder of demonstrations.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to make; must not exist.")],
    encoder: Annotated[
        Path | None, typer.Option(help="Encoder artefact, for kinds that look at images.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Method; 'vinn policy kinds' lists them.")] = "vinn",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the kind; may be repeated."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Name of a preset, or a YAML file (kinds 'vinn' and 'darp')."),
    ] = None,
    k: Annotated[int | None, typer.Option(help="Neighbours; overrides the preset.")] = None,
    bandwidth: Annotated[
        float | None, typer.Option(help="Of the kernel; overrides the preset.")
    ] = None,
    select: Annotated[
        bool, typer.Option("--select", help="Choose k and bandwidth by leave-one-out.")
    ] = False,
    gripper_weight: Annotated[
        float | None,
        typer.Option(help="Weight of the gripper in the criterion of --select; 1 if left out."),
    ] = None,
    novelty: Annotated[
        NoveltyMeasure | None,
        typer.Option(help="What novelty is measured by; overrides the preset."),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half", help="Keep embeddings in half the memory; refused where it matters."
        ),
    ] = False,
    detector: Annotated[
        Path | None,
        typer.Option(
            help="Of 'vinn train grasp-point', for a preset with grasp_point; trained if left out."
        ),
    ] = None,
    robot: Annotated[
        Path | None,
        typer.Option(help="Robot's YAML file, for training a detector; else the simulator's."),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads of the encoder.")] = 1,
    seed: Annotated[int, typer.Option(help="Of kinds that draw numbers.")] = 0,
) -> None:
    """Build a policy artefact."""
    method = POLICY_KINDS[kind]
    given: dict[str, object] = {
        "preset": preset,
        "k": k,
        "bandwidth": bandwidth,
        "select": select or None,
        "novelty": novelty,
        "gripper_weight": gripper_weight,
        "half": half or None,
        "detector": detector,
    }
    options = {key: value for key, value in given.items() if value is not None}
    options.update(_assignments(settings or []))
    if out_dir.exists():
        raise ArtefactError(f"{out_dir}: exists already; choose another name or remove it first")
    dataset = Dataset.open(demos).with_actions()
    with stage_bars() as on_stage, closing(DetectorTraining(robot_config(robot))) as training:
        method.build(
            BuildRequest(
                dataset,
                out_dir,
                encoder,
                options,
                seed=seed,
                threads=threads,
                on_stage=on_stage,
                on_choice=_show_choice,
                trainers={"head": train_darp_head, "detector": training},
            )
        )
    info(out_dir)


@app.command()
def kinds() -> None:
    """List the kinds of policies that `build --kind` knows."""
    table = Table("kind", "what", "where")
    for name in POLICY_KINDS:
        found = POLICY_KINDS[name]
        table.add_row(name, found.title, type(found).__module__)
    out.print(table)


def _assignments(settings: list[str]) -> dict[str, object]:
    """`KEY=VALUE` each, values as YAML has them."""
    found: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise ConfigError(f"--set: {setting!r}; allowed: KEY=VALUE")
        found[key] = parse_yaml(value, f"--set: {key}", ConfigError)
    return found


def _show_choice(choice: object) -> None:
    if isinstance(choice, Selection):
        out.print(_selection_table(choice))


@app.command()
def index(
    directory: Artefact,
    kind: Annotated[
        IndexKind | None,
        typer.Option(help="How it shall search; default: by the number of frames."),
    ] = None,
) -> None:
    """Prepare the search of a nearest-neighbour policy, in place of what it had.

    Policies are built with the index that their size asks for; this is for trying another one.
    """
    artefact = nearest(open_artefact(directory))
    folder = directory / INDEX_FOLDER
    kind = kind or kind_for(len(artefact.memory))
    embeddings = artefact.embeddings
    with out.status(f"preparing the search over {len(embeddings)} frames"):
        shutil.rmtree(folder, ignore_errors=True)
        if kind is not IndexKind.FLAT:
            build_index(
                folder,
                embeddings,
                artefact.memory.origin_ids,
                artefact.manifest.files["embeddings.npy"],
                kind,
            )
    info(directory)


@app.command()
def remove(
    directory: Artefact,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Demonstrations.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to make; must not exist.")],
) -> None:
    """Take demonstrations out of a nearest-neighbour policy, without building it anew.

    The counterpart of `vinn demos add --policy`.
    """
    with out.status(f"removing {len(names)} demonstrations"):
        remove_demonstrations(directory, names, out_dir)
    info(out_dir)


@app.command()
def verify(
    directory: Artefact,
    demos: Annotated[
        Path | None,
        typer.Option(help="Demonstrations it was built from: compare actions and embeddings too."),
    ] = None,
) -> None:
    """Check all of a policy artefact: hashes, rows, thumbnails, search; exit code 2 if bad."""
    dataset = None if demos is None else Dataset.open(demos).with_actions()
    with out.status(f"verifying {directory}"):
        found = verify_artefact(directory, dataset)
    out.print(f"{found.files} files, {len(found.problems)} problems", highlight=False)
    if not found.sealed:
        out.print(f"no {CHECKSUMS}: manifest.json itself is not covered", highlight=False)
    if found.problems:
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise ArtefactError(f"{found.problems[0]}{more}")


@app.command()
def info(directory: Artefact) -> None:
    """Check a policy artefact and print what it is."""
    artefact = open_artefact(directory)
    manifest = artefact.manifest
    table = Table(title=str(directory), show_header=False)
    table.add_row("kind", manifest.kind)
    table.add_row("name", manifest.name)
    table.add_row("demonstrations", str(manifest.demonstration_count))
    table.add_row("frames", str(manifest.frame_count))
    table.add_row("action scale", manifest.action_scale.value)
    table.add_row("dataset", manifest.dataset_hash[:16])
    for name, value in POLICY_KINDS[manifest.kind].describe(artefact):
        table.add_row(name, value)
    out.print(table)


@app.command()
def predict(
    directory: Artefact,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")],
    threads: Annotated[int, typer.Option(help="CPU threads of the encoder.")] = 1,
) -> None:
    """Predict the next step from one image; prints JSON."""
    pixels = read_image(image)
    policy = open_artefact(directory).policy(threads)
    typer.echo(json.dumps(_as_json(policy.predict(pixels)), indent=2))


def _as_json(prediction: Prediction) -> dict[str, object]:
    known = prediction.novelty == prediction.novelty
    return {
        "camera_delta": prediction.camera_delta.tolist(),
        "action_scale": prediction.action_scale.value,
        "gripper_value": prediction.gripper_value,
        "gripper_probabilities": prediction.gripper_probabilities.tolist(),
        "novelty": prediction.novelty if known else None,
        "neighbors": [
            {
                "demonstration": neighbor.demonstration,
                "frame": neighbor.frame,
                "distance": neighbor.distance,
                "weight": neighbor.weight,
                "camera_delta": neighbor.camera_delta.tolist(),
                "gripper_state": neighbor.gripper_state,
            }
            for neighbor in prediction.neighbors
        ],
        "latency_s": dict(prediction.latency_s),
    }


def _selection_table(selection: Selection) -> Table:
    table = Table(title=f"leave one demonstration out: best {ROWS_SHOWN} of {len(selection.rows)}")
    for heading in ("k", "bandwidth", "translation MSE", "gripper MSE", "score"):
        table.add_column(heading, justify="right")
    for row in selection.rows[:ROWS_SHOWN]:
        values = (row.bandwidth, row.translation_mse, row.gripper_mse, row.score)
        table.add_row(str(row.k), *(f"{value:.4g}" for value in values))
    return table
