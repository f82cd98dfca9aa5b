"""`vinn bench`: what encoding, retrieval, a policy step, loading and embedding cost here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vinn.bench.plot import cost_plot
from vinn.bench.run import PARTS, Bench, BenchSettings
from vinn.cli.console import err, out
from vinn.demos.store import Dataset
from vinn.errors import ConfigError
from vinn.evaluation.results import Results, format_value
from vinn.viz.output import write_text

app = typer.Typer()

_QUICK = BenchSettings(
    sizes=(1_000, 20_000), approximate=(100_000,), repeats=3, queries=20, images=5
)


@app.command()
def bench(
    dataset: Annotated[Path, typer.Argument(help="Demonstrations whose frames are encoded.")],
    encoder: Annotated[Path, typer.Option(help="Encoder artefact.")],
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(PARTS)}; may be repeated; default: all."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Repeats of each measurement.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of encoders; search has one.")] = 2,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few sizes and repeats: to see that it runs.")
    ] = False,
    keep_large: Annotated[
        Path | None,
        typer.Option(help="Folder for the policy that part 'load' builds; must not exist."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Folder for performance.json, .md and .svg.")
    ] = None,
) -> None:
    """Measure ours, the paper's pseudocode, FAISS flat and the machine's own limit, in one run.

    Ratios are of medians taken in turns. Search among more frames than the dataset has uses
    augmented embeddings, and says so. Part "step" needs the 'train' extra (torch), "simulate"
    the 'sim' extra. One part with --results keeps the figures of the others that are there. Leave
    the machine alone meanwhile: minutes.
    """
    unknown = sorted(set(part or ()) - set(PARTS))
    if unknown:
        raise ConfigError(f"part: '{unknown[0]}'; allowed: {', '.join(PARTS)}")
    settings = _QUICK if quick else BenchSettings(repeats=repeats, threads=threads)
    settings = settings.only(tuple(part) if part else PARTS, keep_large)
    command = f"vinn bench {dataset.name} --encoder {encoder.name}"
    if part and results is not None:
        # The other parts' figures stay.
        figures = Results.continued(results, "performance", command)
    else:
        figures = Results("performance", command)
    with err.status("starting") as status:
        Bench(Dataset.open(dataset), encoder, settings, figures, status.update).run()
    if results is not None:
        figures.write(results)
        write_text(results / "performance.svg", cost_plot(figures.rows))
    table = Table("figure", "value", "unit", "goal", "met", title="vinn bench")
    for row in figures.rows:
        met = "" if row.goal is None else ("yes" if row.met else "no")
        table.add_row(row.name, format_value(row.value), row.unit, row.goal or "", met)
    out.print(table)
