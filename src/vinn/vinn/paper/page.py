"""One HTML page of the comparison: what `vinn eval` wrote to a folder of results.

Tables and text come from the Markdown pages, figures from the files beside them, goals from the
JSON files. What was not measured is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from markdown_it import MarkdownIt
from markdown_it.token import Token

from vinn.errors import ConfigError
from vinn.evaluation.results import Results, Row, format_value
from vinn.reading.documents import read_text
from vinn.reading.regular import read_bytes
from vinn.viz.report import Report, Section, Tile

PAGES = ("table3-side-by-side", "closed_loop_tables")
"""Markdown pages, in this order."""
SUBJECTS = ("table3", "closed_loop", "beyond")
"""Results whose goals are shown."""
LISTED = ("beyond",)
"""Of these, those that have no page of their own: every figure is listed."""
FIGURES = {
    "Figure 3: queries and their nearest neighbours, k = 1 above k = 10": "figure3-*.jpg",
    "Figure 4: error against number of demonstrations": "figure4-*.svg",
    "Figure 6: error against k": "figure6.svg",
    "Figure 5: the levels of occlusion": "closed_loop_occlusions.jpg",
    "Section IV-F: error of predicted actions against opened doors": "closed_loop_error.svg",
}
"""Headings and the files below them."""


def build_tables_report(folder: Path) -> Report:
    """The page of a folder of results.

    Raises:
        ConfigError: there is nothing of the comparison in it, or a file cannot be read.
    """
    report = Report("Learn and compare", "Every method and every table, as measured")
    subjects = {
        name: Results.read(folder / f"{name}.json")
        for name in SUBJECTS
        if (folder / f"{name}.json").exists()
    }
    if not subjects:
        names = ", ".join(f"{name}.json" for name in SUBJECTS)
        raise ConfigError(f"{folder}: none of {names} is there; `vinn eval` writes them")
    report.tiles([_tile(row) for results in subjects.values() for row in results.rows if row.goal])
    for name in PAGES:
        if (folder / f"{name}.md").exists():
            _add_page(report, folder / f"{name}.md")
    for name in LISTED:
        if name in subjects:
            _add_results(report, subjects[name])
    for title, pattern in FIGURES.items():
        if paths := sorted(folder.glob(pattern)):
            _add_figures(report.section(title), paths)
    machines = report.section("Where and how")
    machines.table(
        ["what", "command", "machine", "date"],
        [[name, each.command, each.machine, each.date] for name, each in subjects.items()],
    )
    return report


def _tile(row: Row) -> Tile:
    return Tile(row.name, format_value(row.value), f"{row.unit}; goal {row.goal}", row.met)


def _add_page(report: Report, path: Path) -> None:
    """Headings become sections, the rest paragraphs and tables below them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(read_text(path, ConfigError))
    section: Section | None = None
    stream = iter(tokens)
    for token in stream:
        if token.type == "heading_open":
            section = report.section(next(stream).content)
        elif section is None:
            raise ConfigError(f"{path}: must begin with a heading")
        elif token.type == "paragraph_open":
            section.text(next(stream).content)
        elif token.type in ("code_block", "fence"):
            section.text(token.content.strip())
        elif token.type == "table_open":
            rows = list(_table_rows(stream))
            section.table(rows[0], rows[1:])


def _table_rows(stream: Iterator[Token]) -> Iterator[list[str]]:
    row: list[str] = []
    for token in stream:
        if token.type == "inline":
            row.append(token.content)
        elif token.type == "tr_close":
            yield row
            row = []
        elif token.type == "table_close":
            return


def _add_results(report: Report, results: Results) -> None:
    section = report.section(results.name.replace("_", " ").capitalize())
    section.table(
        ["figure", "value", "unit", "goal", "met"],
        [
            [row.name, format_value(row.value), row.unit, row.goal, row.met if row.goal else None]
            for row in results.rows
        ],
    )


def _add_figures(section: Section, paths: list[Path]) -> None:
    for path in paths:
        if path.suffix == ".svg":
            section.svg(read_text(path, ConfigError), path.stem)
            continue
        data = np.frombuffer(read_bytes(path, ConfigError), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if picture is None:
            raise ConfigError(f"{path}: not a picture")
        section.image(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8), path.stem)
