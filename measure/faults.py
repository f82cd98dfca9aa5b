"""Measure the fault table; writes docs/results/faults.json and its Markdown twin.

    python -m measure.faults [--only test_halts.py ...] [--work DIR] [--out DIR]

Runs test/faults with the watchdogs as they are shipped, 10^5 actions and 100 bring-ups, each test
once, and keeps what the tests print. `--only` measures some of the files anew and keeps the other
figures of an earlier run in DIR: on a machine that is busy now and then, a quiet moment is enough
for each. The figures of a soak (`python -m measure.soak`) are added where it has left some.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vinn.evaluation.results import Results

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "test" / "faults"
ROWS = 34
OUT_VARIABLE, NOISE_VARIABLE = "VINN_FAULTS_OUT", "VINN_FAULTS_NOISE_FACTOR"
_NOISE = "10"
"""A missed limit is a figure here, not a failure: the table says so."""

Figure = dict[str, Any]


def measure(files: Iterable[Path], work: Path) -> list[Path]:
    """Run the tests of each file; returns those that failed."""
    failed = []
    for file in files:
        lines = work / f"{file.stem}.jsonl"
        fresh = lines.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        env = {**os.environ, OUT_VARIABLE: str(fresh), NOISE_VARIABLE: _NOISE}
        command = [sys.executable, "-m", "pytest", "-q", "--no-reruns", "--timeout", "7200"]
        command.append(str(file))
        print(f"{file.name} ...", flush=True)
        if subprocess.run(command, cwd=ROOT, env=env, check=False).returncode:
            failed.append(file)
        if fresh.exists():
            fresh.replace(lines)
    return failed


def read_figures(work: Path) -> list[Figure]:
    """Everything that was measured, by row."""
    figures = [
        json.loads(line)
        for path in sorted(work.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return sorted(figures, key=_row)


def _row(figure: Figure) -> int:
    return int(figure["row"])


def to_results(figures: Sequence[Figure], soak: Path) -> Results:
    """One row per figure; of a figure that was measured several times the worst."""
    results = Results("faults", "python -m measure.faults", of_kept=True)
    worst: dict[str, Figure] = {}
    for figure in figures:
        name = f"{figure['row']:02d} {figure['what']}"
        before = worst.get(name)
        larger_is_worse = not str(figure["goal"] or "").startswith(">")
        if before is None or (figure["value"] > before["value"]) == larger_is_worse:
            worst[name] = figure
    for name, figure in worst.items():
        given = figure["value"], figure["unit"], figure["goal"]
        results.add(name, *given, commit=figure.get("commit", ""))
    covered = len({figure["row"] for figure in figures})
    results.add("rows of the fault table measured", covered, f"of {ROWS}", f"== {ROWS}")
    if soak.exists():
        for row in Results.read(soak).rows:
            results.add(f"soak: {row.name}", row.value, row.unit, row.goal, commit=row.commit)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    files = sorted(path.name for path in TESTS.glob("test_*.py"))
    parser.add_argument(
        "--only", nargs="*", choices=files, metavar="FILE", help="test files to run; none: no test"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/faults"), help="raw figures")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="of the results")
    options = parser.parse_args(arguments)
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    chosen = files if options.only is None else options.only
    failed = measure([TESTS / name for name in chosen], work)
    results = to_results(read_figures(work), options.out / "soak.json")
    print(results.write(options.out))
    for row in results.missed:
        print(f"missed: {row.name}: {row.value} {row.unit}, goal {row.goal}")
    for file in failed:
        print(f"failed: {file.name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
