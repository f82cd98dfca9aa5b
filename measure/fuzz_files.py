"""Change files of every kind that the product reads, and count what must not happen.

    python -m measure.fuzz_files --changes 2000                        # prints what is bad
    python -m measure.fuzz_files --changes 2000 --out docs/results     # and adds to robustness.json

Each change is seeded by its number: bits, runs, lengths, cuts, numbers and tokens of texts, another
kind of file, a pipe or a device under the name. Every one must be read, or refused in one line,
within 10 s; where a checksum covers the file, no other numbers may come of it. What must not
happen is printed with the number that makes it again (`--first NUMBER --changes NUMBER+1`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))

import shared_folders  # noqa: F401
from campaign import LONGEST_WAIT_S, Tally, run_campaign
from rich.progress import Progress
from samples import KINDS
from vinn.evaluation.results import Results

COMMAND = "python -m measure.fuzz_files --changes {changes}"


def add_rows(results: Results, tallies: dict[str, Tally]) -> None:
    """The counts of each kind, and of all."""
    covered = {kind.name for kind in KINDS if kind.covered}
    everything = Tally()
    for name, tally in tallies.items():
        _add(results, name, tally, name in covered)
        everything.tried += tally.tried
        everything.refused += tally.refused
        everything.same += tally.same
        everything.escaped += tally.escaped
        everything.waited += tally.waited
        everything.silent += tally.silent
    _add(results, "all kinds", everything, True)
    results.add("fuzz: kinds of files", len(tallies), "", f"== {len(KINDS)}")


def _add(results: Results, name: str, tally: Tally, covered: bool) -> None:
    start = f"fuzz: {name}"
    results.add(f"{start}: changed files", tally.tried, f"({tally.refused} refused)")
    results.add(f"{start}: no one-line refusal", len(tally.escaped), "", "== 0")
    results.add(f"{start}: waited over {LONGEST_WAIT_S:g} s", len(tally.waited), "", "== 0")
    if covered:
        results.add(f"{start}: other numbers unseen", len(tally.silent), "", "== 0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--changes", type=int, default=2000, help="over all kinds together")
    parser.add_argument("--first", type=int, default=0, help="number of the first change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of results; none: print only")
    options = parser.parse_args(arguments)
    with Progress() as bars:
        bar = bars.add_task("changes", total=options.changes, completed=options.first)
        tallies = run_campaign(
            options.changes,
            options.seed,
            lambda done, _: bars.update(bar, completed=done),
            options.first,
        )
    bad = [f"{name}: {line}" for name, tally in tallies.items() for line in tally.bad]
    for line in bad:
        print(line)
    tried = sum(tally.tried for tally in tallies.values())
    refused = sum(tally.refused for tally in tallies.values())
    print(f"{tried} changes of {len(tallies)} kinds: {refused} refused, {len(bad)} bad")
    if options.out is not None:
        command = COMMAND.format(changes=options.changes)
        results = Results.continued(options.out, "robustness", command)
        add_rows(results, tallies)
        print(results.write(options.out))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
