"""Write the table of results in README.md anew from docs/results/*.json.

    .venv/bin/python tools/readme_results.py [--check]

Between the two markers stands what `ROWS` names, hits and misses alike. `--check` writes nothing
and ends with 1 where the README says something else.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vinn.evaluation.results import Results, format_value
from vinn.viz.output import write_text

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results: tools/readme_results.py -->", "<!-- /results -->"
ROWS = (
    # File, row, what the README calls it.
    ("grasp_point", "goal: seen, opened", "hard starts, the demonstrated cabinets: doors opened"),
    ("grasp_point", "goal: seen, opened at the first attempt", "the same, at the first attempt"),
    ("grasp_point", "goal: left_out, opened", "one of them left out of the demonstrations"),
    (
        "grasp_point",
        "goal: left_out, opened at the first attempt",
        "the same, at the first attempt",
    ),
    ("grasp_point", "goal: sampled, opened", "cabinets drawn at random, never seen"),
    (
        "grasp_point",
        "goal: sampled, opened at the first attempt",
        "the same, at the first attempt",
    ),
    (
        "grasp_point",
        "camera covered: halted as novel or without a grasp point",
        "lens covered: rollouts that halt",
    ),
    ("foundation", "demo, wall time after installation", "`make demo`, after installation"),
    ("foundation", "easy, doors opened by grasp point", "its doors at `easy`"),
    ("foundation", "hard, doors opened by grasp point", "its doors at `hard`"),
    ("foundation", "camera stamp to command, median", "camera stamp to command, median"),
    ("foundation", "camera frames lost between processes", "frames lost between processes"),
    ("replay", "console: click on Stop to halt", "click on Stop to halt"),
    ("robot", "commands outside limits minus margin", "100,000 random actions: beyond a limit"),
)


def table() -> str:
    """The rows as a Markdown table."""
    lines = ["| | measured | goal | met |", "|---|---:|---|---|"]
    for file, name, words in ROWS:
        path = ROOT / "docs" / "results" / f"{file}.json"
        found = [row for row in Results.read(path).rows if row.name == name]
        if not found:
            raise SystemExit(f"error: {path.relative_to(ROOT)}: has no row '{name}'")
        (row,) = found
        met = "" if row.goal is None else "yes" if row.met else "**no**"
        measured = f"[{format_value(row.value)}](docs/results/{file}.md) {row.unit}".strip()
        lines.append(f"| {words} | {measured} | {row.goal or ''} | {met} |")
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where it differs")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if check:
        if new != text:
            print("README.md: its results are not those of docs/results", file=sys.stderr)
            raise SystemExit(1)
        return
    write_text(readme, new)


if __name__ == "__main__":
    main()
