"""From a fresh clone to the demo's report: an earlier build and this one, in turns.

    python -m measure.fresh_demo --before COMMIT [--rounds 1] [--results docs/results]

Each is cloned, and `make demo` runs in the clone as a newcomer types it, with pip's cache off and
what the last one compiled left alone; the clone is deleted after it (10 GiB of disk while it is
there). Ten minutes of a machine that does nothing else. Adds its rows to performance.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vinn.evaluation.results import Results

from measure.robot_install import size_mb

ROOT = Path(__file__).resolve().parents[1]
NAME = "make demo in a fresh clone"
GOAL = "<= 0.6"
"""Of the earlier build's wall time."""


@dataclass(frozen=True)
class Demo:
    """What a newcomer got, and when.

    Attributes:
        seconds: from the end of the clone to the end of the report.
        opened: doors, of `trials`.
        trials: rollouts of the policy.
        disk_mb: of the environment.
    """

    seconds: float
    opened: int
    trials: int
    disk_mb: float


def run_demo(commit: str, folder: Path) -> Demo:
    """`make demo` of a commit, in a clone of its own."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run(["git", "checkout", "--quiet", commit], cwd=clone, check=True)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH")
    }
    environment["PIP_NO_CACHE_DIR"] = "1"
    started_s = time.monotonic()
    subprocess.run(["make", "demo"], cwd=clone, env=environment, check=True)
    seconds = time.monotonic() - started_s
    summary = json.loads((clone / "runs" / "demo" / "summary.json").read_text(encoding="utf-8"))
    done = Demo(seconds, summary["successes"], summary["trials"], size_mb(clone / ".venv"))
    shutil.rmtree(clone)
    return done


def main() -> None:
    """Run both in turns, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    given = parser.parse_args()
    builds = {f"commit {given.before}": given.before, "this build": "HEAD"}
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    done: dict[str, list[Demo]] = {name: [] for name in builds}
    for _ in range(given.rounds):
        for name, commit in builds.items():
            with tempfile.TemporaryDirectory() as folder:
                done[name].append(run_demo(head if commit == "HEAD" else commit, Path(folder)))
            print(name, done[name][-1], flush=True)
    command = f"python -m measure.fresh_demo --before {given.before} --rounds {given.rounds}"
    results = Results.continued(given.results, "performance", command)
    medians = {
        name: statistics.median(demo.seconds for demo in demos) for name, demos in done.items()
    }
    for name, demos in done.items():
        last = demos[-1]
        results.add(
            f"{NAME}: {name}",
            round(medians[name]),
            f"s, median of {given.rounds}; {last.opened} of {last.trials} doors, "
            f"{last.disk_mb:.0f} MB of environment",
        )
    before, now = (medians[name] for name in builds)
    results.add(f"{NAME}: this build over the earlier one", round(now / before, 2), "x", GOAL)
    results.write(given.results)


if __name__ == "__main__":
    main()
