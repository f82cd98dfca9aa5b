"""Closed-loop trials on the door per minute: an earlier build and this one, in turns.

    python -m measure.trials_per_minute --before COMMIT --policy POLICY [--trials 10] [--rounds 3]

Both run `vinn eval closed-loop` as it is typed, with its defaults, in the same environment; only
the sources differ (`git archive COMMIT`). What is counted is the whole command, start included.
Trials must be equal, one by one. Adds its rows to docs/results/performance.*
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from vinn.evaluation.results import Results

ROOT = Path(__file__).resolve().parents[1]
NAME = "closed loop, door"


def sources(commit: str, folder: Path) -> Path:
    """The library of a commit, to be put before the installed one."""
    packed = subprocess.run(
        ["git", "archive", commit, "src", "config"], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder / "src" / "vinn"


def run_trials(library: Path, policy: Path, trials: int, out: Path) -> tuple[float, list[Any]]:
    """Seconds that the command took, and its trials."""
    where = "import vinn; print(vinn.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(library)}
    found = subprocess.run(
        [sys.executable, "-c", where], env=environment, capture_output=True, text=True, check=True
    )
    if not found.stdout.startswith(str(library)):
        raise SystemExit(f"{found.stdout.strip()}: not the library in {library}")
    command = "from vinn.cli.main import main; main()"
    arguments = ["eval", "closed-loop", "--policy", str(policy), "--difficulty", "hard"]
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", command, *arguments, "--trials", str(trials), "--out", str(out)],
        env=environment,
        capture_output=True,
        check=True,
    )
    seconds = time.perf_counter() - begin
    content = json.loads(out.read_text(encoding="utf-8"))["trials"]
    return seconds, list(content)


def main() -> None:
    """Measure in turns and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", required=True, help="commit of the earlier build")
    parser.add_argument("--policy", type=Path, required=True, help="policy artefact")
    parser.add_argument("--trials", type=int, default=10, help="on each of the three cabinets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    policy = given.policy.resolve()
    rates: dict[str, list[float]] = {"before": [], "now": []}
    equal = total = 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        libraries = {
            "before": sources(given.before, work / "before"),
            "now": ROOT / "src" / "vinn",
        }
        for number in range(given.rounds):
            found = {}
            for build, library in libraries.items():
                seconds, found[build] = run_trials(
                    library, policy, given.trials, work / f"{build}.json"
                )
                rates[build].append(60 * len(found[build]) / seconds)
                print(f"round {number}, {build}: {rates[build][-1]:.1f} a minute", flush=True)
            equal += sum(a == b for a, b in zip(found["before"], found["now"], strict=True))
            total += len(found["now"])
    command = (
        f"python -m measure.trials_per_minute --before {given.before} --policy {given.policy.name} "
        f"--trials {given.trials} --rounds {given.rounds}"
    )
    results = Results.continued(given.out, "performance", command)
    middle = {build: statistics.median(values) for build, values in rates.items()}
    ratios = [now / before for before, now in zip(rates["before"], rates["now"], strict=True)]
    what = f"trials a minute, median of {given.rounds}, {given.policy.name}"
    results.add(f"{NAME}: commit {given.before[:12]}", round(middle["before"], 1), what)
    results.add(f"{NAME}: this build", round(middle["now"], 1), what)
    results.add(
        f"{NAME}: this build over the earlier one",
        round(statistics.median(ratios), 2),
        f"x, median of {given.rounds} rounds in turns ({min(ratios):.2f} to {max(ratios):.2f})",
        ">= 2",
    )
    results.add(f"{NAME}: equal trials", round(100 * equal / total, 1), f"% of {total}", "== 100")
    results.write(given.out)
    for row in results.rows:
        if row.name.startswith(NAME):
            print(row.name, row.value, row.unit)


if __name__ == "__main__":
    main()
