"""One cell of the table: both machines, the network between them, and rollouts until it is full."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from vinn.evaluation.provenance import running_commit
from vinn.robot.config import load_robot_config
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUp
from vinn_ros.demo.system import DemoSystem
from vinn_ros.paths import config_file

from measure.network.bad_link import BadLink, Settings, enter, two_hosts
from measure.network.rollouts import Cable, one_trial
from measure.network.trials import KeptTrials, Trial

ON_ROBOT = ("stretch_sim", "stretch_executor")
DOMAIN = 104
DDS = "http://www.eprosima.com"
SHARED_MEMORY = "shared_memory_16_mib"
ROBOT_FILE = "robot/stretch_sim_unpaced.yaml"
CELL_S, TRIAL_S = 25.0, 20.0
"""What a cell's nodes and a rollout take, until it is known."""
VAIN_STARTS = 3
"""So many in a row, and no further one of the cell is tried."""

CELLS = {
    f"{delay} ms {loss} %": Settings(delay_s=delay / 1e3, loss=loss / 100)
    for delay in (0, 20, 80)
    for loss in (0, 2, 10)
} | {"5 Mbit/s": Settings(rate_bit_s=5e6), "5 Mbit/s 20 ms 2 %": Settings(0.02, 0.02, 5e6)}
CUT = "cable cut in mid-rollout, and its return"


@dataclass(frozen=True)
class Plan:
    """What is to be measured of a cell."""

    name: str
    policy: Path
    label: str
    """Of the policy."""
    count: int
    """Rollouts, those that are kept included."""
    raw: Path
    deadline_s: float
    """No rollout begins after this (monotonic clock, which is the machine's)."""
    later_cells: int
    later_trials: int


def minutes_left(trials: int, cells: int, trial_s: float) -> float:
    """What is left to do takes about so many minutes."""
    return (trials * trial_s + cells * CELL_S) / 60.0


def measure_cell(plan: Plan) -> None:
    """Bring both machines up and fill the cell with rollouts; each is kept when it has ended.

    Raises:
        BringUpError: a node did not come up, or went away.
    """
    kept = KeptTrials(plan.raw, plan.name, plan.label)
    limit_s = load_robot_config(config_file(ROBOT_FILE, "robot")).motion.max_image_age_s
    with tempfile.TemporaryDirectory() as work, running(plan.policy, Path(work)) as (system, link):
        link.be(CELLS.get(plan.name, Settings()))
        while len(kept.trials) < plan.count and time.monotonic() < plan.deadline_s:
            if gives_up(kept.trials):
                kept.add(untried(kept.trials[-1]))
                continue
            number = len(kept.trials)
            cable = Cable(link) if plan.name == CUT else None
            trial = one_trial(system, plan.label, f"{plan.name} {number}", limit_s, cable)
            kept.add(trial)
            _tell(plan, kept.trials)


def gives_up(trials: list[Trial]) -> bool:
    """Whether the last few could not start, one after the other."""
    last = trials[-VAIN_STARTS:]
    return len(last) == VAIN_STARTS and not any(trial.started for trial in last)


def untried(last: Trial) -> Trial:
    """A rollout that is not tried, since the ones before could not start either."""
    return Trial(last.policy, running_commit(), started=False, reason=last.reason, tried=False)


def _tell(plan: Plan, trials: list[Trial]) -> None:
    trial = trials[-1]
    tried_s = [t.took_s for t in trials if t.tried]
    trial_s = sum(tried_s) / len(tried_s)
    left = plan.later_trials + plan.count - len(trials)
    what = "opened" if trial.opened else f"{trial.reason} ({trial.message})"
    if not trial.started:
        what = f"could not start: {trial.reason}"
    print(
        f"{plan.name}: {len(trials)} of {plan.count}: {what}, {trial.took_s:.0f} s, "
        f"{len(trial.seen.ages_s)} motions, {trial.seen.stale} stale; "
        f"about {minutes_left(left, plan.later_cells, trial_s):.0f} min left",
        flush=True,
    )


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
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
    found = graph.environment("sim")
    variable = next(name for name in found if name.endswith("_DEFAULT_PROFILES_FILE"))
    profile = without_shared_memory(Path(graph.dds_profile()), work / "dds.xml")
    env = {**found, variable: str(profile), "ROS_DOMAIN_ID": str(DOMAIN)}
    os.environ.update(env)  # the operator is a node of this process
    specs = graph.door_opening(
        "sim", str(policy), recordings=str(work / "recordings"), console=True
    )
    specs = graph.with_settings(specs, ["operator_console.port=0"])
    on_robot = [spec for spec in specs if spec.executable in ON_ROBOT]
    here = [spec for spec in specs if spec.executable not in ON_ROBOT]
    robot_host, policy_host = f"vinn-robot-{os.getpid()}", f"vinn-policy-{os.getpid()}"
    with two_hosts(robot_host, policy_host) as link, ThreadPoolExecutor(1) as living_there:
        living_there.submit(enter, robot_host).result()
        enter(policy_host)
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
