"""`make test` in a fresh clone, some times in a row: how long, what fails, what is run again.

    python -m measure.fresh_test [--rounds 3] [--results docs/results]

Clones what is committed, and runs what CI runs (`.ci/run`, which calls `make test`) in the clone,
which is deleted after it. Half an hour of a machine that does nothing else, each. A round's row is
written when the round has ended; its output is kept beside, in runs/fresh_test.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vinn.evaluation.results import Results

ROOT = Path(__file__).resolve().parents[1]
NAME = "make test in a fresh clone"
SUMMARY = re.compile(r"^=+ (.*) in [\d.]+s(?: \([\d:]+\))? =+$", re.MULTILINE)
"""The last line of each of the processes of pytest."""
COUNT = re.compile(r"(\d+) (passed|failed|error|rerun|skipped)")


@dataclass(frozen=True)
class Round:
    """How one went.

    Attributes:
        seconds: from the end of the clone to the end of the last test.
        code: exit code.
        counts: tests by what became of them, over all processes.
    """

    seconds: float
    code: int
    counts: Counter[str]

    def __str__(self) -> str:
        counts = self.counts
        failed = counts["failed"] + counts["error"]
        return (
            f"{counts['passed']:,} passed, {failed} failed, {counts['rerun']} run again, "
            f"{counts['skipped']} skipped; exit code {self.code}"
        )


def counts_of(output: str) -> Counter[str]:
    """Tests by what became of them, from the summaries of all processes of pytest."""
    counts: Counter[str] = Counter()
    for line in SUMMARY.findall(output):
        for number, what in COUNT.findall(line):
            counts[what] += int(number)
    return counts


def run_tests(log: Path) -> Round:
    """One round, in a clone of its own; what is said goes to stderr and to a file."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH")
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, log.open("w", encoding="utf-8") as file:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        started_s = time.monotonic()
        running = subprocess.Popen(
            [str(clone / ".ci" / "run")],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert running.stdout is not None
        for line in running.stdout:
            sys.stderr.write(line)
            file.write(line)
        code = running.wait()
        seconds = time.monotonic() - started_s
        shutil.rmtree(clone)
    return Round(seconds, code, counts_of(log.read_text(encoding="utf-8")))


def main() -> None:
    """Run the rounds; a row for each, and what all of them say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--logs", type=Path, default=Path("runs/fresh_test"))
    given = parser.parse_args()
    command = f"python -m measure.fresh_test --rounds {given.rounds}"
    rounds = []
    for number in range(1, given.rounds + 1):
        done = run_tests(given.logs / f"round-{number}.log")
        rounds.append(done)
        results = Results.continued(given.results, "performance", command)
        results.add(f"{NAME}: round {number}", round(done.seconds / 60, 1), f"min; {done}")
        well = sum(each.code == 0 for each in rounds)
        again = sum(each.counts["rerun"] for each in rounds)
        results.add(f"{NAME}: without a failure", well, f"of {number} rounds", f"== {number}")
        results.add(f"{NAME}: tests that were run again", again, f"in {number} rounds", "== 0")
        slowest = max(each.seconds for each in rounds) / 60
        results.add(f"{NAME}: the slowest round", round(slowest, 1), "min", "<= 15")
        results.write(given.results)


if __name__ == "__main__":
    main()
