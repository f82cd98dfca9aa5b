"""`vinn embed`: the embeddings of a dataset, by one process or many workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import out, progress_bar
from vinn.demos.store import Dataset
from vinn.policies.artefacts.sharded import embed_in_shards

app = typer.Typer()


@app.command()
def embed(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of demonstrations.")],
    encoder: Annotated[Path, typer.Option(help="Encoder artefact.")],
    file: Annotated[Path, typer.Option("--out", help="File to make, .npy; must not exist.")],
    workers: Annotated[
        int,
        typer.Option(min=1, help="More than 1: so many workers of Ray ('ray' extra)."),
    ] = 1,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Of a running Ray cluster, e.g. 'auto'; default: this machine."),
    ] = None,
) -> None:
    """Embed every frame of a dataset; the same command again goes on after an interruption.

    Rows are frames, demonstration after demonstration; a .json file beside it says of what and by
    which encoder. The result does not depend on the number of workers.
    """
    with progress_bar("embedding frames") as progress:
        embed_in_shards(Dataset.open(dataset), encoder, file, workers, ray_address, progress)
    out.print(str(file), highlight=False, soft_wrap=True)
