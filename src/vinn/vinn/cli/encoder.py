"""`vinn encoder`: export encoders and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vinn.cli.console import err, out, stage_bars
from vinn.errors import ArtefactError

app = typer.Typer(no_args_is_help=True)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="efficientnet-lite0, resnet50 or resnet18.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to make; must not exist.")],
    weights: Annotated[
        Path | None,
        typer.Option(help="State dict saved by torch; default: ImageNet weights."),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx/--no-onnx", help="For ONNX Runtime as well (model.onnx).")
    ] = True,
) -> None:
    """Export a pretrained network as an encoder that runs without torch."""
    from vinn.learning.export import export_encoder

    with err.status(f"exporting {name}"):
        export_encoder(name, out_dir, weights, onnx)
    info(out_dir)


@app.command()
def quantize(
    encoder: Annotated[Path, typer.Argument(metavar="ENCODER", help="Encoder artefact.")],
    demos: Annotated[
        Path, typer.Option("--dataset", help="Demonstrations of what it will look at.")
    ],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to make; must not exist.")],
    frames: Annotated[int, typer.Option(help="Frames that value ranges are taken from.")] = 300,
    accept_ranking: Annotated[
        bool,
        typer.Option("--accept-ranking", help="Though less than 80 % of the neighbours stay."),
    ] = False,
) -> None:
    """Make an encoder that computes in 8-bit integers (needs the 'quantize' extra).

    Every frame asks for its nearest frames of other demonstrations with both encoders; how many
    stay is printed and kept with the encoder. A policy must be built with the encoder it runs.
    """
    from vinn.demos.store import Dataset
    from vinn.policies.artefacts.quantize_encoder import quantize_encoder

    if out_dir.exists():
        raise ArtefactError(f"{out_dir}: exists already; choose another name or remove it first")
    with stage_bars() as on_stage:
        dataset = Dataset.open(demos).with_actions()
        agreement = quantize_encoder(encoder, dataset, out_dir, frames, accept_ranking, on_stage)
    info(out_dir)
    out.print(f"int8 against fp32: {agreement}")


@app.command()
def halve(
    encoder: Annotated[Path, typer.Argument(metavar="ENCODER", help="Encoder artefact.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to make; must not exist.")],
) -> None:
    """Keep an encoder's weights in half precision: half the disk, computed as before.

    Embeddings change a little: a policy must be built with the encoder it runs.
    """
    from vinn.encoders.half_precision import halve_encoder

    halve_encoder(encoder, out_dir)
    info(out_dir)


@app.command()
def info(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Encoder artefact.")],
) -> None:
    """Check an encoder artefact and print what it is."""
    from vinn.encoders.artefact import read_manifest

    manifest = read_manifest(directory)
    prepare = manifest.preprocessing
    table = Table(title=str(directory), show_header=False)
    table.add_row("name", manifest.name)
    table.add_row("dimension", str(manifest.dimension))
    if prepare.crop is not None:
        crop = prepare.crop
        table.add_row(
            "crop", f"({crop.left_px}, {crop.top_px}) .. ({crop.right_px}, {crop.bottom_px})"
        )
    table.add_row("input", f"{prepare.width_px}x{prepare.height_px} ({prepare.interpolation})")
    table.add_row("mean", ", ".join(f"{value:g}" for value in prepare.mean))
    table.add_row("std", ", ".join(f"{value:g}" for value in prepare.std))
    runs = ("openvino", *(["onnxruntime"] if manifest.portable_files else []))
    if manifest.network is not None:
        runs = (manifest.network,)
    table.add_row("runs in", ", ".join(runs))
    for key, value in manifest.provenance.items():
        table.add_row(key.replace("_", " "), str(value))
    table.add_row("hash", manifest.hash)
    out.print(table)
