"""Robot and policy on two machines with a bad network between them; writes docs/results/network.*.

    make network                                         # the policy of `make demo`; or:
    python -m measure.network --policy DIR [--rollouts 10] [--cells "20 ms 2 %" ...] [--minutes 50]

Two network namespaces joined by `measure.network.bad_link`: on the robot the simulation (camera and
robot) and the executor; on the other host policy, supervisor, console and operator. Rollouts open
the door of a simulated cabinet. Afterwards the recordings say how old the image was that each step
was taken on, when the robot took it on; both stamps are the robot's own. Needs CAP_SYS_ADMIN.

Each rollout is kept (--raw) as soon as it has ended. The same command goes on where it stopped, and
measures nothing twice. Every cell has nodes and namespaces of its own: what a bad network left
behind (half an image in the kernel, a latch) is not the next one's.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from vinn.errors import VinnError
from vinn.evaluation.provenance import running_commit
from vinn.evaluation.results import Results
from vinn_ros.policy.loaded_policy import LoadedPolicy

from measure.network.bad_link import two_hosts
from measure.network.cell import CELL_S, CELLS, CUT, TRIAL_S, Plan, measure_cell, minutes_left
from measure.network.table import add
from measure.network.trials import KeptTrials, Trial

CELL_TRIES = 3
"""Processes for one cell; after so many that failed, its rollouts count as not started."""
SILENT_S = 900.0
"""More than a rollout can take, with all its waits; a cell that is silent for longer hangs."""
_POLL_S = 5.0


def fill(plan: Plan, work: Callable[[Plan], None] = measure_cell) -> None:
    """Fill a cell in a process of its own: Fast DDS looks at profiles and devices once in one.

    A process that fails or hangs is followed by another one; after a few of those what is missing
    counts as rollouts that could not start.

    Args:
        plan: of the cell.
        work: what the process does.
    """
    for _ in range(CELL_TRIES):
        process = get_context("spawn").Process(target=work, args=(plan,))
        process.start()
        _wait(process, plan)
        missing = plan.count - len(_kept(plan).trials)
        if process.exitcode == 0 or not missing or time.monotonic() > plan.deadline_s:
            return
        print(f"{plan.name}: its nodes ended ({process.exitcode}), {missing} missing", flush=True)
    kept = _kept(plan)
    while len(kept.trials) < plan.count:
        lost = Trial(plan.label, running_commit(), started=False, reason="NODES", tried=False)
        kept.add(lost)


def _wait(process: BaseProcess, plan: Plan) -> None:
    news_s, known = time.monotonic(), -1
    while process.is_alive():
        process.join(_POLL_S)
        count = len(_kept(plan).trials)
        if count != known:
            news_s, known = time.monotonic(), count
        elif time.monotonic() - news_s > SILENT_S:
            print(f"{plan.name}: silent for {SILENT_S:g} s, ended", flush=True)
            process.kill()


def _kept(plan: Plan) -> KeptTrials:
    return KeptTrials(plan.raw, plan.name, plan.label)


def main() -> None:
    """Measure what is missing, write the results of all that is kept.

    Raises:
        VinnError: the policy or kept trials are not in order.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--rollouts", type=int, default=10, help="of each cell")
    parser.add_argument("--cells", nargs="+", choices=[*CELLS, CUT], default=[*CELLS, CUT])
    parser.add_argument("--minutes", type=float, default=600.0, help="no rollout begins later")
    parser.add_argument("--raw", type=Path, default=Path("runs/network"), help="each rollout")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    if given.rollouts < 1:
        parser.error(f"--rollouts {given.rollouts}; allowed: 1 or more")
    label = LoadedPolicy(given.policy, threads=1, precision="fp32").label
    with two_hosts(f"vinn-try-a-{os.getpid()}", f"vinn-try-b-{os.getpid()}"):
        pass  # or it says what is not permitted here
    deadline_s = time.monotonic() + 60.0 * given.minutes

    def kept(name: str) -> KeptTrials:
        return KeptTrials(given.raw.resolve(), name, label)

    def missing(names: list[str]) -> list[int]:
        counts = [given.rollouts - len(kept(name).trials) for name in names]
        return [count for count in counts if count > 0]

    known_s = [t.took_s for name in given.cells for t in kept(name).trials if t.tried]
    trial_s = sum(known_s) / len(known_s) if known_s else TRIAL_S
    todo = missing(given.cells)
    print(
        f"{len(todo)} cells, {sum(todo)} rollouts to do, {trial_s:.0f} s each and {CELL_S:.0f} s "
        f"for a cell's nodes: about {minutes_left(sum(todo), len(todo), trial_s):.0f} min",
        flush=True,
    )
    results = Results("network", "make network", of_kept=True)
    for number, name in enumerate(given.cells):
        if missing([name]) and time.monotonic() < deadline_s:
            later = missing(given.cells[number + 1 :])
            fill(
                Plan(
                    name=name,
                    policy=given.policy.resolve(),
                    label=label,
                    count=given.rollouts,
                    raw=given.raw.resolve(),
                    deadline_s=deadline_s,
                    later_cells=len(later),
                    later_trials=sum(later),
                )
            )
        found = kept(name).trials[: given.rollouts]
        if found:
            add(results, name, found)
            results.write(given.out)  # what was measured stays, whatever comes
        if len(found) < given.rollouts:
            print(f"{name}: {len(found)} of {given.rollouts}; the same command goes on", flush=True)


if __name__ == "__main__":
    try:
        main()
    except VinnError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
