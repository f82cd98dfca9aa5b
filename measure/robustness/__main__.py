"""What rollouts survive; writes docs/results/robustness.json and its Markdown twin.

    python -m measure.robustness [--soak-minutes 60] [--parts visits drivers ...] [--out DIR]

The shipped nodes run around a fake robot and camera (`measure.robustness.stack`). Pages come and
go during rollouts, the driver is killed and started, second nodes come up, other versions' messages
come in; then rollouts run with a random fault every minute. After each fault an operator does what
docs/safety.md says: clear the latch, reset, start.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import Popen

import aiohttp
import numpy as np
from ros_harness import ros_context
from vinn.evaluation.results import Results
from vinn_ros.bringup.processes import BringUpError

from measure.robustness.stack import CONSOLE, NODES, RobustnessStack, Usage

PARTS = ["visits", "drivers", "seconds", "messages", "soak"]
VISIT_S = 0.7
STEPS = 8
"""Of a rollout in which nothing is broken."""
LONG = 10_000
MESSAGES = Path(__file__).with_name("foreign_messages.py")
KINDS = ("policy_status", "executor_status", "prediction", "scene", "supervisor_status")
GROWTH_MIB, GROWTH_FILES = 30.0, 10
_WARM_UP_S = 60.0
"""A process's growth counts from so long after its start, when every code path has run."""
_MINUTE_S = 60.0
_DOMAIN = 103
"""One that neither the tests nor the demo nor the soak pick: two of a kind are what is measured."""
_BORNE_S = 12.0
"""A fault that has not ended a rollout until then never will."""


@dataclass
class Found:
    """What was seen."""

    rollouts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    recoveries: int = 0
    recovered: int = 0
    troubles: list[str] = field(default_factory=list)
    """What should not have been, in words."""
    moved_m: float = 0.0
    """The largest joint motion while two of a kind were there."""
    first: dict[int, tuple[float, Usage]] = field(default_factory=dict)
    """By process id: when it was first looked at after its warm-up, and what it held then."""
    seen_s: dict[int, float] = field(default_factory=dict)
    grown_mib: float = 0.0
    grown_files: int = 0


class Trials:
    """One part of the measurement after the other, on one stack."""

    def __init__(self, stack: RobustnessStack, seed: int) -> None:
        self.stack = stack
        self.rng = np.random.default_rng(seed)

    def rollout(self, found: Found, break_it: Callable[[], None] | None, steps: int = STEPS) -> str:
        """One rollout that is ready to start; returns the reason of its end."""
        session, why = self.stack.start(LONG if break_it else steps)
        if why:
            found.troubles.append(f"start: {why}")
            return ""
        found.rollouts += 1
        if break_it is not None:
            self.stack.wait_steps(session, 2)
            break_it()
        reason = self.stack.wait_end(session, _BORNE_S if break_it else 60.0)
        if not reason and break_it is not None:
            # It was borne: the operator ends the rollout.
            self.stack.stop()
            reason = self.stack.wait_end(session, 60.0)
        if not reason:
            found.troubles.append(f"a rollout did not end: {self.stack.status.message}")
        found.reasons[reason] += bool(reason)
        return reason

    def recover(self, found: Found) -> bool:
        """The documented recovery."""
        found.recoveries += 1
        why = self.stack.recover()
        found.recovered += not why
        if why:
            found.troubles.append(f"recovery: {why}")
        return not why

    # The parts

    def visits(self, count: int) -> tuple[Found, int]:
        """Pages that come and go during rollouts; also how many were served."""
        found, served, over = Found(), [0], threading.Event()
        pid = self.stack.process(CONSOLE).pid
        url = next(line for line in self.stack.lines if "operator console: http" in line)
        url = url.rpartition("operator console: ")[2].strip()

        def visit() -> None:
            served[0] = asyncio.run(_visit(url, count))
            over.set()

        visitor = threading.Thread(target=visit, daemon=True)
        visitor.start()
        while not over.is_set():
            if self.recover(found):
                self.rollout(found, None)
        visitor.join()
        process = self.stack.process(CONSOLE)
        if process.exit_code is not None or process.pid != pid:
            found.troubles.append("the console ended")
        return found, served[0]

    def driver_restarts(self, rounds: int) -> Found:
        """Killed while idle, in a reset and in a rollout, and started again."""
        found = Found()
        for _ in range(rounds):
            for when in ("idle", "reset", "rollout"):
                if not self.recover(found):
                    continue
                if when == "rollout":
                    self.rollout(found, self.stack.kill_driver)
                elif when == "reset":
                    self.rollout(found, None, steps=6)  # somewhere else than at the start
                    resetting = threading.Thread(target=self.stack.reset)
                    resetting.start()
                    time.sleep(0.3)
                    self.stack.kill_driver()
                    resetting.join()
                else:
                    self.stack.kill_driver()
                self.stack.start_driver()
        self.recover(found)
        self.rollout(found, None)
        return found

    def second_nodes(self) -> Found:
        """A second supervisor, executor and policy: before a reset, and in a rollout."""
        found = Found()
        for name in NODES:
            with self.second(name):
                before = dict(self.stack.joints)
                why = self.stack.reset()
                if not why.startswith("DUPLICATE_NODE"):
                    found.troubles.append(f"two of {name}: reset: {why or 'done'}")
                found.moved_m = max(found.moved_m, _moved(before, self.stack.joints))
            if not self.recover(found):
                continue
            label = f"second_{name}"
            reason = self.rollout(found, partial(self.stack.launch, name, label))
            if reason != "DUPLICATE_NODE":
                found.troubles.append(f"two of {name} in a rollout: {reason}")
            if label in self.stack.nodes:
                self.stack.end(label)
        self.recover(found)
        self.rollout(found, None)
        return found

    @contextmanager
    def second(self, name: str) -> Iterator[None]:
        """While inside, a second node of a kind is there."""
        label = f"second_{name}"
        self.stack.launch(name, label)
        self.stack.wait_second(name)
        try:
            yield
        finally:
            self.stack.end(label)

    def foreign_messages(self) -> Found:
        """What another version, or nonsense, says on each topic during a rollout."""
        found = Found()
        for kind in KINDS:
            if self.recover(found):
                self.rollout(found, partial(_say, kind))
                self.stack.revive()
        self.recover(found)
        self.rollout(found, None)
        return found

    def soak(self, minutes: float, tell: Callable[[str], None]) -> tuple[Found, Counter[str]]:
        """Rollouts with a random fault every minute; also how often each came."""
        found, faults = Found(), Counter[str]()
        stack = self.stack
        kinds: dict[str, Callable[[], None]] = {
            **{
                f"{name} killed": (lambda name=name: stack.kill(name)) for name in (*NODES, CONSOLE)
            },
            "driver killed": stack.kill_driver,
            "camera unplugged": lambda: setattr(stack.camera, "plugged", False),
            **{f"messages: {kind}": partial(_say, kind) for kind in KINDS},
        }
        began_s = due_s = time.monotonic()
        while time.monotonic() - began_s < _MINUTE_S * minutes:
            self.watch(found)
            if not self.recover(found):
                stack.revive()
                continue
            if time.monotonic() >= due_s:
                due_s += _MINUTE_S
                fault = str(self.rng.choice(list(kinds)))
                faults[fault] += 1
                # The robot does without its console: that rollout ends as any other.
                survives = fault.startswith(CONSOLE)
                reason = self.rollout(found, kinds[fault]) if not survives else ""
                if survives:
                    kinds[fault]()
                    reason = self.rollout(found, None)
                stack.revive()
                tell(f"{(time.monotonic() - began_s) / 60:5.1f} min: {fault}: {reason}")
            else:
                self.rollout(found, None)
        self.watch(found)
        return found, faults

    def watch(self, found: Found) -> None:
        """Compare what every process holds with what it held after its warm-up."""
        now_s = time.monotonic()
        for pid, (_, held) in self.stack.usages().items():
            began_s = found.seen_s.setdefault(pid, now_s)
            if now_s - began_s < _WARM_UP_S:
                continue
            _, first = found.first.setdefault(pid, (now_s, held))
            found.grown_mib = max(found.grown_mib, held.resident_mib - first.resident_mib)
            found.grown_files = max(found.grown_files, held.files - first.files)


async def _visit(url: str, count: int) -> int:
    served = 0
    for _ in range(count):
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"{url}socket", timeout=aiohttp.ClientWSTimeout(5.0)) as socket,
            ):
                left_s = time.monotonic() + VISIT_S
                while time.monotonic() < left_s:
                    message = await socket.receive(5.0)
                    if message.type is aiohttp.WSMsgType.CLOSED:
                        break
                else:
                    served += 1
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(VISIT_S)
    return served


def _say(kind: str) -> None:
    """Let a process of its own say it for a while; it leaves as it should."""
    with Popen([sys.executable, str(MESSAGES), kind]) as process:
        process.wait(60.0)


def _moved(before: dict[str, float], after: dict[str, float]) -> float:
    return max(
        (abs(after[name] - before[name]) for name in before.keys() & after.keys()), default=0
    )


def add_part(results: Results, part: str, found: Found) -> None:
    """The rows that every part has."""
    ended = sum(found.reasons.values())
    results.add(f"{part}: rollouts that ended with a reason", ended, "", f"== {found.rollouts}")
    results.add(
        f"{part}: resets after the documented recovery that worked",
        found.recovered,
        "",
        f"== {found.recoveries}",
    )
    results.add(f"{part}: what else went wrong", len(found.troubles), "", "== 0")
    for reason, count in sorted(found.reasons.items()):
        results.add(f"{part}: rollouts ended by {reason}", count)


def measure(stack: RobustnessStack, options: argparse.Namespace, results: Results) -> None:
    """Every part in turn."""
    trials = Trials(stack, options.seed)

    def done(part: str, found: Found) -> None:
        add_part(results, part, found)
        results.write(options.out)
        print(f"{part}: {dict(found.reasons)}; {found.recovered} of {found.recoveries} recovered")
        for trouble in found.troubles:
            print(f"  {trouble}", flush=True)

    if "visits" in options.parts:
        found, served = trials.visits(options.visits)
        results.forget("page visits: ")
        results.add("page visits: served", served, "", f"== {options.visits}")
        results.add(
            "page visits: rollouts that ended as without them",
            found.reasons["STEP_LIMIT"],
            "",
            f"== {found.rollouts}",
        )
        done("page visits", found)
    if "drivers" in options.parts:
        found = trials.driver_restarts(options.rounds)
        results.forget("driver restarts: ")
        done("driver restarts", found)
    if "seconds" in options.parts:
        found = trials.second_nodes()
        results.forget("second nodes: ")
        results.add("second nodes: largest joint motion", found.moved_m, "m or rad", "<= 0.002")
        done("second nodes", found)
    if "messages" in options.parts:
        found = trials.foreign_messages()
        results.forget("foreign messages: ")
        done("foreign messages", found)
    if "soak" in options.parts:
        found, faults = trials.soak(options.soak_minutes, lambda line: print(line, flush=True))
        results.forget("soak: ")
        results.add("soak: time on the wall", options.soak_minutes, "min")
        results.add("soak: largest growth of a node", found.grown_mib, "MiB", f"<= {GROWTH_MIB:g}")
        results.add(
            "soak: most files more than before", found.grown_files, "", f"<= {GROWTH_FILES}"
        )
        for fault, count in sorted(faults.items()):
            results.add(f"soak: {fault}", count)
        done("soak", found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--soak-minutes", type=float, default=60.0)
    parser.add_argument("--visits", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3, help="of three driver restarts each")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        help="these alone; the other figures in DIR stay",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="of the results")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command = (
        f".venv/bin/python -m measure.robustness --soak-minutes {options.soak_minutes:g} "
        f"--visits {options.visits} --seed {options.seed}"
    )
    if options.parts != PARTS:
        command += f" --parts {' '.join(options.parts)}"
    results = Results.continued(options.out, "robustness", command)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            ros_context(_DOMAIN) as ros,
            RobustnessStack(ros, Path(folder)) as stack,
        ):
            measure(stack, options, results)
    except BringUpError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(results.write(options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
