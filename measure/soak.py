"""Rollouts in simulation for an hour; writes what memory did to docs/results/soak.json.

    python -m measure.soak --policy runs/demo/policy [--minutes 60] [--out DIR] [--work DIR]

The whole simulated system runs as processes, as `vinn-bringup --robot sim` starts it. The resident
memory of each is read at the start and the end of every rollout; its slope is fitted to what comes
after the first quarter, when every code path has run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from vinn.errors import RobotError
from vinn.evaluation.results import Results
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUpError
from vinn_ros.demo.system import DemoSystem

from vinn_msgs.msg import RolloutStatus

WARM_UP = 0.25
"""Part of the time that the slope leaves out."""
FLAT_MIB_PER_H = 30.0
_FULL_MIN = 60.0
_ROLLOUT_TIMEOUT_S = 300.0
_DOMAIN = 101
"""Unless ROS_DOMAIN_ID is set: one that neither the tests nor the demo pick."""


@dataclass
class Soak:
    """What was seen."""

    sampled_s: list[float] = field(default_factory=list)
    memory_mib: dict[str, list[float]] = field(default_factory=dict)
    """Per node, at `sampled_s`."""
    ends: Counter[str] = field(default_factory=Counter)
    """Rollouts by the reason of their end."""
    opened: int = 0
    troubles: list[str] = field(default_factory=list)
    """Resets and starts that were refused."""
    faults_cleared: int = 0
    exit_codes: dict[str, int] = field(default_factory=dict)

    def slope_mib_per_h(self, node: str) -> float:
        """Least-squares slope of a node's memory after the warm-up."""
        times_s = np.array(self.sampled_s)
        late = times_s >= times_s[0] + WARM_UP * (times_s[-1] - times_s[0])
        if late.sum() < 3:
            return float("nan")
        return float(np.polyfit(times_s[late], np.array(self.memory_mib[node])[late], 1)[0] * 3600)


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(
    policy: Path, seconds: float, work: Path, on_rollout: Callable[[Soak, float], None]
) -> Soak:
    """Reset and roll out again and again; a refusal is noted, not fatal.

    Raises:
        vinn_ros.bringup.processes.BringUpError: a node did not come up, or went away.
    """
    env = {
        **graph.environment("sim"),
        "ROS_DOMAIN_ID": os.environ.setdefault("ROS_DOMAIN_ID", str(_DOMAIN)),
    }
    specs = graph.door_opening("sim", str(policy), recordings=str(work / "recordings"))
    system = DemoSystem(specs, env, work / "logs")
    found = Soak(memory_mib={spec.name: [] for spec in specs})
    system.start()
    try:
        began_s = time.monotonic()
        while (elapsed_s := time.monotonic() - began_s) < seconds:
            _sample(found, system, elapsed_s)
            try:
                system.reset()
                status = system.run_rollout("soak", _ROLLOUT_TIMEOUT_S)
            except RobotError as error:
                found.troubles.append(str(error))
            else:
                found.ends[status.reason] += 1
                found.opened += status.outcome == RolloutStatus.SUCCESS
                # An hour of recordings is not wanted on the disk.
                Path(status.recording).unlink(missing_ok=True)
            found.faults_cleared = system.faults_cleared
            on_rollout(found, elapsed_s)
        _sample(found, system, time.monotonic() - began_s)
    finally:
        found.exit_codes = system.stop()
    return found


def _sample(found: Soak, system: DemoSystem, elapsed_s: float) -> None:
    found.sampled_s.append(elapsed_s)
    for name, pid in system.pids.items():
        found.memory_mib[name].append(resident_mib(pid))


def to_results(found: Soak, minutes: float, command: str) -> Results:
    """The figures with their goals."""
    results = Results("soak", command)
    rollouts = sum(found.ends.values())
    results.add("time on the wall", minutes, "min", f">= {_FULL_MIN:g}")
    results.add("rollouts in a row", rollouts)
    results.add("doors opened", found.opened, f"of {rollouts}")
    for node in found.memory_mib:
        memory = found.memory_mib[node]
        results.add(f"{node}: memory, first quarter's end", memory[len(memory) // 4], "MiB")
        results.add(f"{node}: memory, end", memory[-1], "MiB")
        slope = found.slope_mib_per_h(node)
        results.add(f"{node}: growth", slope, "MiB/h", f"<= {FLAT_MIB_PER_H:g}")
    results.add("resets or starts refused", len(found.troubles))
    results.add("latched faults cleared", found.faults_cleared)
    unclean = sum(code != 0 for code in found.exit_codes.values())
    results.add("nodes that did not end with exit code 0", unclean, "", "== 0")
    for reason, count in sorted(found.ends.items()):
        results.add(f"rollouts ended by {reason}", count)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", type=Path, required=True, help="policy artefact to roll out")
    parser.add_argument("--minutes", type=float, default=_FULL_MIN)
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/soak"), help="logs, recordings")
    options = parser.parse_args(arguments)

    def tell(found: Soak, elapsed_s: float) -> None:
        memory = ", ".join(f"{name} {values[-1]:.0f}" for name, values in found.memory_mib.items())
        print(
            f"{elapsed_s / 60:5.1f} min: {sum(found.ends.values())} rollouts, "
            f"{found.opened} opened, {len(found.troubles)} refused; MiB: {memory}",
            flush=True,
        )

    try:
        found = soak(options.policy, 60.0 * options.minutes, options.work, tell)
    except BringUpError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    command = (
        f".venv/bin/python -m measure.soak --policy runs/demo/policy --minutes {options.minutes:g}"
    )
    results = to_results(found, options.minutes, command)
    print(results.write(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
