"""`vinn eval report`: the comparison on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import out
from vinn.paper.page import build_tables_report


def report(
    results: Annotated[
        Path, typer.Argument(help="Folder that `vinn eval` wrote tables and figures to.")
    ] = Path("docs/results"),
    out_file: Annotated[Path, typer.Option("--out", help="HTML file; self-contained.")] = Path(
        "runs/comparison.html"
    ),
) -> None:
    """Make one HTML page of table III, the closed-loop tables, `beyond` and all figures."""
    path = build_tables_report(results).write(out_file)
    out.print(f"written to {path}", highlight=False, soft_wrap=True)
