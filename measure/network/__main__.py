"""Robot and policy on two machines with a bad network between them; writes docs/results/network.*.

    make network                                         # the policy of `make demo`; or:
    python -m measure.network --policy DIR [--rollouts 10] [--cells "20 ms 2 %" ...]

Two network namespaces joined by `measure.network.bad_link`: on the robot the simulation (camera and
robot) and the executor; on the other host policy, supervisor, console and operator. Rollouts open
the door of a simulated cabinet. Afterwards the recordings say how old the image was that each step
was taken on, when the robot took it on; both stamps are the robot's own. Needs CAP_SYS_ADMIN.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from vinn.errors import RobotError
from vinn.evaluation.results import Results
from vinn.evaluation.statistics import wilson_interval
from vinn.rollout.reader import read_recording
from vinn.viz.timeline import load_timeline, stamp_ns
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUp, BringUpError
from vinn_ros.demo.system import DemoSystem

from measure.network.bad_link import BadLink, Settings, enter, two_hosts
from vinn_msgs.msg import ExecutorStatus, RolloutStatus

ROBOT, HOST = "vinn-robot", "vinn-policy"
ON_ROBOT = ("stretch_sim", "stretch_executor")
DOMAIN = 104
DDS = "http://www.eprosima.com"
ROLLOUT_S = 240.0
CUT_AFTER_STEPS = 3
CUT_S = 6.0
SHARED_MEMORY = "shared_memory_16_mib"
LIMIT_S = 1.0
"""The simulation's vinn_policy.max_image_age_s: what is older is stale."""

CELLS = {
    f"{delay} ms {loss} %": Settings(delay_s=delay / 1e3, loss=loss / 100)
    for delay in (0, 20, 80)
    for loss in (0, 2, 10)
} | {"5 Mbit/s": Settings(rate_bit_s=5e6), "5 Mbit/s 20 ms 2 %": Settings(0.02, 0.02, 5e6)}
CUT = "cable cut in mid-rollout, and its return"


@dataclass
class Cell:
    """What was seen in one kind of network."""

    rollouts: int = 0
    opened: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    recoveries: int = 0
    """Rollouts that were followed by a reset that worked, though they did not end well."""
    ages_s: list[float] = field(default_factory=list)
    """Of the image behind each step, when the executor took the step on."""
    stale: int = 0
    """Steps on an image that was too old, or from before the last motion had settled."""
    frames: int = 0
    heard: int = 0
    """Of the camera's frames in a rollout, those that came to the supervisor."""


def read_steps(recording: Path, cell: Cell) -> None:
    """Add what one recording says."""
    timeline = load_timeline(recording)
    settled_ns: dict[int, int] = {}
    for entry in read_recording(recording, {"/executor/status"}):
        if entry.message.state == ExecutorStatus.IDLE:
            settled_ns.setdefault(int(entry.message.sequence), stamp_ns(entry.message.header.stamp))
    for step, prediction in timeline.steps_with_predictions():
        age_s = (step.stamp_ns - prediction.stamp_ns) * 1e-9
        cell.ages_s.append(age_s)
        # Before the first step nothing has moved since the reset.
        before_ns = settled_ns.get(step.sequence - 1, 0) if step.sequence > 1 else 0
        cell.stale += age_s > LIMIT_S or prediction.stamp_ns < before_ns
    stamps_s = np.array([image.stamp_ns for image in timeline.wrist]) * 1e-9
    if len(stamps_s) > 2:
        gaps_s = np.diff(np.sort(stamps_s))
        cell.heard += len(gaps_s)
        cell.frames += int(np.maximum(1, np.round(gaps_s / np.median(gaps_s))).sum())


def without_shared_memory(profile: Path, out: Path) -> Path:
    """The profile in use, less the way past the network that two namespaces of a machine have."""
    ElementTree.register_namespace("", DDS)
    tree = ElementTree.parse(profile)
    for parent in tree.iter():
        for child in list(parent):
            described = child.tag.endswith("}transport_descriptor")
            named = child.find(f"{{{DDS}}}transport_id") if described else child
            if named is not None and (named.text or "").strip() == SHARED_MEMORY:
                parent.remove(child)
    tree.write(out, encoding="UTF-8", xml_declaration=True)
    return out


@contextlib.contextmanager
def running(policy: Path, work: Path) -> Iterator[tuple[DemoSystem, BadLink]]:
    """Both sides, active."""
    profile = without_shared_memory(Path(graph.dds_profile()), work / "dds.xml")
    env = {
        **graph.environment("sim"),
        "FASTDDS_DEFAULT_PROFILES_FILE": str(profile),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "ROS_DOMAIN_ID": str(DOMAIN),
    }
    os.environ.update(env)
    specs = graph.door_opening(
        "sim", str(policy), recordings=str(work / "recordings"), console=True
    )
    specs = graph.with_settings(specs, ["operator_console.port=0"])
    on_robot = [spec for spec in specs if spec.executable in ON_ROBOT]
    here = [spec for spec in specs if spec.executable not in ON_ROBOT]
    with two_hosts(ROBOT, HOST) as link, ThreadPoolExecutor(1) as living_there:
        living_there.submit(enter, ROBOT).result()
        enter(HOST)
        robot = BringUp(on_robot, env, log_directory=work / "logs")
        system = DemoSystem(here, env, work / "logs")
        try:
            # Nodes end with the thread that has started them.
            living_there.submit(robot.start).result()
            system.start()
            try:
                yield system, link
            finally:
                system.stop()
        finally:
            living_there.submit(robot.stop).result()


def rollouts(system: DemoSystem, work: Path, name: str, count: int) -> Cell:
    """`count` rollouts in the network as it is now."""
    cell = Cell()
    troubled = False
    for number in range(count):
        status = one_rollout(system, f"{name} {number}")
        cell.rollouts += 1
        if status is None:
            cell.reasons["no reset, or no start"] += 1
            troubled = True
            continue
        cell.recoveries += troubled
        cell.opened += status.outcome == RolloutStatus.SUCCESS
        cell.reasons[status.reason] += 1
        troubled = status.outcome != RolloutStatus.SUCCESS
        if status.recording:
            read_steps(Path(status.recording), cell)
    return cell


def one_rollout(
    system: DemoSystem, name: str, on_step: Callable[[int], None] | None = None
) -> RolloutStatus | None:
    """Reset and roll out; None: that was not possible."""
    try:
        system.reset()
        return system.run_rollout(name, ROLLOUT_S, on_step)
    except RobotError as error:
        print(f"  {name}: {error}", flush=True)
        return None


class Cable:
    """Pulled out for a while when a rollout has come so far, once."""

    def __init__(self, link: BadLink) -> None:
        self._link = link
        self.reached = threading.Event()
        self.pulled = False
        self._thread = threading.Thread(target=self._pull, daemon=True)
        self._thread.start()

    def _pull(self) -> None:
        self.reached.wait()
        if self.pulled:
            self._link.be(Settings(cut=True))
            time.sleep(CUT_S)
            self._link.be(Settings())

    def on_step(self, step: int) -> None:
        """The rollout has come so far."""
        if step >= CUT_AFTER_STEPS:
            self.pulled = True
            self.reached.set()

    def back(self) -> None:
        """Wait until it is in again."""
        self.reached.set()
        self._thread.join()


def cuts(system: DemoSystem, link: BadLink, count: int) -> Cell:
    """Rollouts in the midst of which the cable is out for a while."""
    cell = Cell()
    for number in range(count):
        cable = Cable(link)
        status = one_rollout(system, f"cut {number}", cable.on_step)
        cable.back()
        cell.rollouts += 1
        if status is None:
            cell.reasons["no reset, or no start"] += 1
            continue
        cell.reasons[status.reason] += 1
        cell.opened += status.outcome == RolloutStatus.SUCCESS
        if status.recording:
            read_steps(Path(status.recording), cell)
        if cable.pulled and status.outcome != RolloutStatus.SUCCESS:
            try:
                system.reset()
                cell.recoveries += 1
            except RobotError as error:
                print(f"  cut {number}: {error}", flush=True)
    return cell


def add(results: Results, name: str, cell: Cell) -> None:
    """The rows of one cell."""
    low, high = wilson_interval(cell.opened, cell.rollouts)
    results.add(
        f"{name}: doors opened", cell.opened, f"of {cell.rollouts} ({low:.0%} to {high:.0%})"
    )
    if cell.ages_s:
        median_s, late_s = np.percentile(cell.ages_s, [50, 95])
        results.add(f"{name}: camera to command, median", round(1e3 * median_s, 1), "ms")
        results.add(f"{name}: camera to command, 95 %", round(1e3 * late_s, 1), "ms")
    results.add(
        f"{name}: steps on a stale image", cell.stale, f"of {len(cell.ages_s)}", goal="== 0"
    )
    troubled = {reason: n for reason, n in cell.reasons.items() if reason != "SUCCESS"}
    said = ", ".join(f"{reason} {n}" for reason, n in sorted(troubled.items())) or "none"
    results.add(f"{name}: halts", sum(troubled.values()), said)
    results.add(f"{name}: resets that worked after one", cell.recoveries, "")
    lost = 100 * (1 - cell.heard / cell.frames) if cell.frames else 0.0
    results.add(f"{name}: frames that did not reach the supervisor", round(lost, 1), "%")


def main() -> None:
    """Measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--rollouts", type=int, default=10)
    parser.add_argument("--cells", nargs="+", choices=[*CELLS, CUT], default=[*CELLS, CUT])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    results = Results("network", "make network")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with running(given.policy.resolve(), work) as (system, link):
            for name in given.cells:
                link.be(CELLS.get(name, Settings()))
                if name == CUT:
                    cell = cuts(system, link, given.rollouts)
                else:
                    cell = rollouts(system, work, name, given.rollouts)
                print(name, cell.opened, dict(cell.reasons), cell.stale, flush=True)
                add(results, name, cell)
                # What was measured stays, whatever comes.
                results.write(given.out)


if __name__ == "__main__":
    try:
        main()
    except BringUpError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
