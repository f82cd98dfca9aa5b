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
from vinn.paper.grasp_detectors import DetectorTraining, robot_config
from vinn.policies.artefacts.build import build_control
from vinn.policies.artefacts.build_preset import build_from_preset
from vinn.policies.artefacts.opening import (
    INDEX_FOLDER,
    NEAREST,
    MetricKind,
    PolicyArtefact,
    PolicyKind,
    open_artefact,
)
from vinn.policies.artefacts.remove import remove_demonstrations
from vinn.policies.artefacts.selection import Selection
from vinn.policies.artefacts.verify import verify_artefact
from vinn.policies.novelty import NoveltyMeasure
from vinn.policies.preset import PolicyPreset, load_preset
from vinn.policies.types import Prediction
from vinn.reading.config_file import validated
from vinn.retrieval.index import IndexKind, build_index, kind_for, read_index_manifest

app = typer.Typer(no_args_is_help=True)

Artefact = Annotated[Path, typer.Argument(metavar="DIR", help="Policy artefact.")]
ROWS_SHOWN = 8


@app.command()
def build(
    demos: Annotated[Path, typer.Argument(metavar="DEMOS", help="Folder of demonstrations.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to make; must not exist.")],
    encoder: Annotated[
        Path | None, typer.Option(help="Encoder artefact (kinds 'vinn' and 'darp').")
    ] = None,
    kind: Annotated[PolicyKind, typer.Option(help="Method.")] = PolicyKind.VINN,
    preset: Annotated[str, typer.Option(help="Name of a preset, or a YAML file.")] = "vinn",
    k: Annotated[int | None, typer.Option(help="Neighbours; overrides the preset.")] = None,
    bandwidth: Annotated[
        float | None, typer.Option(help="Of the kernel; overrides the preset.")
    ] = None,
    select: Annotated[
        bool, typer.Option("--select", help="Choose k and bandwidth by leave-one-out.")
    ] = False,
    gripper_weight: Annotated[
        float, typer.Option(help="Weight of the gripper in the criterion of --select.")
    ] = 1.0,
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
    seed: Annotated[int, typer.Option(help="Of kind 'random'.")] = 0,
) -> None:
    """Build a policy artefact."""
    settings = load_preset(preset)
    if out_dir.exists():
        raise ArtefactError(f"{out_dir}: exists already; choose another name or remove it first")
    dataset = Dataset.open(demos).with_actions()
    if kind not in NEAREST:
        build_control(dataset, kind, out_dir, seed)
        info(out_dir)
        return
    if encoder is None:
        raise ConfigError(f"--encoder: missing; kind '{kind.value}' needs an encoder artefact")
    given = {"k": k, "bandwidth": bandwidth, "novelty": novelty}
    changes: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    if k is not None or bandwidth is not None:
        if select:
            raise ConfigError("--select: chooses k and bandwidth; leave --k and --bandwidth out")
        changes["select"] = False
    elif select:
        changes["select"] = True
    settings = validated(PolicyPreset, {**settings.model_dump(), **changes}, "policy build")
    frames = dataset.frame_count * len(settings.views)
    if not settings.select and settings.k > frames:
        raise ConfigError(
            f"k: {settings.k} neighbours of {frames} demonstration frames in {demos}; "
            f"allowed: 1..{frames}"
        )
    with stage_bars() as on_stage, closing(DetectorTraining(robot_config(robot))) as training:
        build_from_preset(
            dataset,
            encoder,
            out_dir,
            settings,
            gripper_weight=gripper_weight,
            threads=threads,
            on_stage=on_stage,
            on_selection=lambda selection: out.print(_selection_table(selection)),
            provenance={"preset": preset},
            train_head=train_darp_head if kind is PolicyKind.DARP else None,
            half=half,
            detector_dir=detector,
            train_detector=training,
        )
    info(out_dir)


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
    artefact = open_artefact(directory)
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
    table.add_row("kind", manifest.kind.value)
    table.add_row("name", manifest.name)
    table.add_row("demonstrations", str(manifest.demonstration_count))
    table.add_row("frames", str(manifest.frame_count))
    table.add_row("action scale", manifest.action_scale.value)
    table.add_row("dataset", manifest.dataset_hash[:16])
    if manifest.vinn is not None:
        settings = manifest.vinn
        if settings.storage != "float32":
            table.add_row("embeddings", settings.storage)
        table.add_row("k", str(settings.k))
        table.add_row("bandwidth", f"{settings.bandwidth:.4g}")
        table.add_row("project to unit", str(settings.project_to_unit).lower())
        if len(settings.views) > 1:
            table.add_row("views", ", ".join(settings.views))
        if settings.context > 1:
            table.add_row("context", f"{settings.context} frames")
        if settings.metric is not MetricKind.EUCLIDEAN:
            table.add_row("metric", f"{settings.metric.value}, {settings.metric_dimension}-d")
        if settings.progress is not None:
            table.add_row("progress prior", f"width {settings.progress.width:g}")
        table.add_row("novelty by", settings.novelty.value)
        table.add_row(
            "novelty limit",
            "none" if settings.novelty_limit is None else f"{settings.novelty_limit:.4g}",
        )
        table.add_row(
            "encoder",
            f"{settings.encoder_name}, {settings.dimension}-d, {settings.encoder_hash[:16]}",
        )
        for name, value in _index_rows(artefact):
            table.add_row(name, value)
    out.print(table)


def _index_rows(artefact: PolicyArtefact) -> list[tuple[str, str]]:
    """What `info` says of the search."""
    folder = artefact.directory / INDEX_FOLDER
    if not folder.is_dir():
        return [("search", f"{kind_for(len(artefact.memory)).value}, prepared at start")]
    artefact.neighbors()  # refuses a damaged one
    manifest = read_index_manifest(folder)
    rows = [("search", f"{manifest.kind.value}, built in {manifest.build_s:.1f} s")]
    if manifest.recall is not None:
        rows.append(
            (
                f"recall at {manifest.recall_k}",
                f"{manifest.recall:.4f} over {manifest.recall_queries} frames, "
                f"{manifest.probes} of {manifest.lists} lists read, "
                f"{manifest.candidates_per_neighbor} candidates per neighbour",
            )
        )
    return rows


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
