"""`vinn eval learning-curve`: does an encoder get better with more passes?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vinn.cli.console import out, progress_bar
from vinn.demos.store import Dataset
from vinn.evaluation.provenance import running_command
from vinn.evaluation.results import Results
from vinn.paper.learning_curve import add_curves, curve_plots, learning_curves, load_curve_config
from vinn.viz.output import write_text


def learning_curve(
    demos: Annotated[Path, typer.Argument(metavar="DEMOS", help="Training demonstrations.")],
    settings: Annotated[Path, typer.Option(help="YAML file: passes and variants.")],
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder of the runs; a killed one is taken up.")
    ],
    variants: Annotated[
        str | None, typer.Option(help="Only these of the settings, as A,B; else all.")
    ] = None,
    results_dir: Annotated[
        Path | None,
        typer.Option("--results", help="Folder whose self_supervision.json they join."),
    ] = None,
) -> None:
    """Train variants of an encoder; error on left-out demonstrations and spread by passes."""
    config = load_curve_config(settings)
    results = None
    if results_dir is not None:
        results = Results.continued(results_dir, "self_supervision", running_command())
    with progress_bar("training") as progress:
        curves = learning_curves(
            Dataset.open(demos),
            config,
            out_dir,
            lambda name, done, total, loss: progress(done, total),
            None if variants is None else variants.split(","),
        )
    if results is not None and results_dir is not None:
        add_curves(results, curves)
        results.write(results_dir)
    plots = curve_plots(curves)
    for name, svg in plots.items():
        write_text(out_dir / name, svg)
    if results_dir is not None:
        write_text(results_dir / "left_out_error.svg", plots["left_out_error.svg"])
    table = Table("variant", "passes", "error on left-out frames", "relative spread")
    for name, points in curves.items():
        for point in points:
            table.add_row(
                name,
                str(point.passes),
                f"{point.left_out_mse:.4g}",
                f"{point.relative_spread:.3f}",
            )
    out.print(table)
