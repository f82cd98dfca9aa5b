"""Write docs/results/interoperability.*: what of others this project was really run with.

    python -m measure.interoperability TOOL VERSION DONE RESULT [--command HOW]
    python -m measure.interoperability                            # the Markdown anew

A row is one tool or library in one version and one thing that was done with it; the same again
replaces it. RESULT says what was seen; begin it with "works" or "fails". The command that measured
it belongs in HOW.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

FILE = Path("docs/results/interoperability.json")
COLUMNS = ("tool", "version", "done", "result", "command", "date")


@dataclass(frozen=True)
class Run:
    """One row."""

    tool: str
    version: str
    done: str
    result: str
    command: str
    date: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What another run of the same replaces; other versions stand beside it."""
        return self.tool, self.version, self.done


def read(path: Path) -> list[Run]:
    """The rows of the file; none if there is no file.

    Raises:
        SystemExit: it is not such a file.
    """
    if not path.exists():
        return []
    try:
        return [Run(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"error: {path}: {error}") from error


def added(runs: list[Run], new: Run) -> list[Run]:
    """The rows with one more, in order of tool, version and what was done.

    Raises:
        SystemExit: a result that says neither that it works nor that it fails.
    """
    if not new.result.startswith(("works", "fails")):
        raise SystemExit(f"error: RESULT {new.result!r}; allowed: begins with works or fails")
    kept = {run.key: run for run in runs} | {new.key: new}
    return [kept[key] for key in sorted(kept)]


def markdown(runs: list[Run]) -> str:
    """The table; a bar in a cell stays a bar."""
    head = [
        "# Interoperability",
        "",
        "What this project was run with; `python -m measure.interoperability` adds a row.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    rows = [
        "| " + " | ".join(str(value).replace("|", "\\|") for value in asdict(run).values()) + " |"
        for run in runs
    ]
    return "\n".join([*head, *rows, ""])


def write(path: Path, runs: list[Run]) -> None:
    """Both files, each whole or not at all."""
    content = json.dumps({"rows": [asdict(run) for run in runs]}, indent=1, ensure_ascii=False)
    for target, text in ((path, content + "\n"), (path.with_suffix(".md"), markdown(runs))):
        partial = target.with_name(f".{target.name}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)


def main(arguments: list[str] | None = None) -> None:
    """Add a row, or write the Markdown anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("row", nargs="*", metavar="TOOL VERSION DONE RESULT")
    parser.add_argument("--command", default="", help="the command that shows it")
    parser.add_argument("--file", type=Path, default=FILE)
    given = parser.parse_args(arguments)
    runs = read(given.file)
    if given.row:
        if len(given.row) != 4 or not all(word.strip() for word in given.row):
            parser.error("TOOL VERSION DONE RESULT: four words are needed, none empty")
        runs = added(runs, Run(*given.row, given.command, date.today().isoformat()))
    write(given.file, runs)


if __name__ == "__main__":
    main()
