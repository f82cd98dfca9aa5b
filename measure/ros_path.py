"""From a photon to a command across processes, and how fast the policy node comes up.

    python -m measure.ros_path --policy POLICY --large LARGE_POLICY --results docs/results
    python -m measure.ros_path --policy POLICY --precision auto --results docs/results
    python -m measure.ros_path --policy POLICY --beside OTHER --precision auto

POLICY opens simulated doors (`make demo` leaves one); rollouts run with real-time physics, every
node a process of its own. LARGE_POLICY has 20,000 frames (`vinn bench --keep-large DIR`); of it the
start of the policy node and its resident memory are taken. Adds its rows to performance.json.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from rclpy.node import Node
from rich.console import Console
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from vinn.evaluation.results import Results
from vinn.policies.artefact import open_artefact
from vinn.recordings.latency import LatencySummary, stage_latencies
from vinn.viz.timeline import RolloutTimeline, load_timeline
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUp
from vinn_ros.node import qos
from vinn_ros.node.calls import call

from measure.spinning import spun
from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import StartRollout

MAX_STEPS = 15
COMMAND_WITHIN_S = 0.5
"""After the executor took a step on, its command follows within this, or there was none."""
AS_THE_ROBOT = (
    "stretch_sim.real_time_factor=1.0",
    "stretch_sim.joint_state_rate_hz=30.0",  # stretch_driver's own
    "stretch_sim.overview_rate_hz=0.0",
    *(
        f"{node}.robot_config=robot/stretch_sim.yaml"
        for node in ("stretch_sim", "stretch_executor", "rollout_supervisor")
    ),
)
"""Physics, joint states and the executor's waits at the robot's pace; no camera but the wrist's."""
progress = Console(stderr=True)


class Operator(Node):
    """Resets, starts, and notes when commands reach the robot (wall clock)."""

    def __init__(self) -> None:
        super().__init__("measure_ros_path", use_global_arguments=False)
        self.commands_ns: list[int] = []
        self.status = RolloutStatus()
        self.news = threading.Condition()
        self.create_subscription(Float64MultiArray, "joint_pose_cmd", self._command, qos.STREAM)
        self.create_subscription(RolloutStatus, "supervisor/status", self._heard, qos.STREAM)
        self.clear = self.create_client(Trigger, "executor/clear_latch")
        self.reset = self.create_client(Trigger, "supervisor/reset")
        self.start = self.create_client(StartRollout, "supervisor/start_rollout")

    def _command(self, message: Float64MultiArray) -> None:
        self.commands_ns.append(time.time_ns())

    def _heard(self, status: RolloutStatus) -> None:
        with self.news:
            self.status = status
            self.news.notify_all()

    def rollout(self) -> None:
        """One rollout, to its end."""
        # A fault of the last one (on a machine that was not left alone) must not end the others.
        call(self.clear, Trigger.Request(), 10.0)
        answer = call(self.reset, Trigger.Request(), 120.0)
        session, refusal = "", answer.message
        deadline_s = time.monotonic() + 30.0
        while not session and answer.success and time.monotonic() < deadline_s:
            start = call(self.start, StartRollout.Request(max_steps=MAX_STEPS), 10.0)
            session, refusal = start.session, start.message
            if not session:
                time.sleep(0.2)
        if not session:
            raise SystemExit(f"no rollout: {refusal}")
        with self.news:
            self.news.wait_for(
                lambda: self.status.session == session and self.status.state == RolloutStatus.ENDED,
                180.0,
            )


def stamp_to_wire(timelines: list[RolloutTimeline], commands_ns: list[int]) -> np.ndarray:
    """Seconds from the stamp of the image of each step to its command's arrival on the wire."""
    commands = np.sort(np.array(commands_ns))
    found = []
    for timeline in timelines:
        for step, prediction in timeline.steps_with_predictions():
            after = np.searchsorted(commands, step.stamp_ns)
            if after < len(commands) and commands[after] - step.stamp_ns < COMMAND_WITHIN_S * 1e9:
                found.append((commands[after] - prediction.stamp_ns) / 1e9)
    return np.array(found)


def shares(timelines: list[RolloutTimeline], commands_ns: list[int]) -> dict[str, np.ndarray]:
    """Seconds of each part of the way from a step's image to its command, in order.

    An image is stamped before it is rendered (the simulator's work, not a real camera's); it has
    arrived when the recorder, which is in another process too, has it.
    """
    commands = np.sort(np.array(commands_ns))
    parts: dict[str, list[float]] = {}
    for timeline in timelines:
        arrived_ns = {image.stamp_ns: image.recorded_ns for image in timeline.wrist}
        for step, made in timeline.steps_with_predictions():
            after = np.searchsorted(commands, step.stamp_ns)
            if after == len(commands) or made.stamp_ns not in arrived_ns:
                continue
            to_wire_s = (commands[after] - step.stamp_ns) / 1e9
            if to_wire_s >= COMMAND_WITHIN_S:
                continue
            own = made.prediction.latency_s
            taken_s = (arrived_ns[made.stamp_ns] - made.stamp_ns) / 1e9
            found = {
                "rendered, compressed, carried to another process": taken_s,
                "decoded and resized": own["preprocess"],
                "encoded": own["encode"],
                "looked up": own["retrieve"],
                "the policy node's rest": made.image_age_s - taken_s - sum(own.values()),
                "prediction to step taken on": (step.stamp_ns - made.stamp_ns) / 1e9
                - made.image_age_s,
                "step taken on to command on the wire": to_wire_s,
            }
            for name, seconds in found.items():
                parts.setdefault(name, []).append(seconds)
    return {name: np.array(seconds) for name, seconds in parts.items()}


def compare(policy: Path, other: Path, given: argparse.Namespace, results: Results) -> None:
    """The same of two policies, one after the other, under names of their own; and the ratio."""
    medians = []
    for path in (policy, other):
        name = open_artefact(path).manifest.name
        own = Results("performance", results.command)
        measure_rollouts(path, given.rollouts, given.precision, own)
        for row in own.rows[:3]:
            results.add(f"{name} beside another policy, {row.name}", row.value, row.unit)
        medians.append(float(str(own.rows[0].value)))
    results.add(
        f"camera stamp to command: {open_artefact(policy).manifest.name} over "
        f"{open_artefact(other).manifest.name}",
        round(medians[0] / medians[1], 2),
        "x",
        "<= 1.3",
    )


def measure_rollouts(policy: Path, rollouts: int, precision: str, results: Results) -> None:
    """Stamp to command over some rollouts in real time, the encoder in some precision."""
    with tempfile.TemporaryDirectory() as folder:
        recordings = Path(folder) / "rollouts"
        specs = graph.door_opening("sim", str(policy), recordings=str(recordings))
        specs = graph.with_settings(specs, (*AS_THE_ROBOT, f"vinn_policy.precision={precision}"))
        with BringUp(specs, graph.environment("sim"), log_directory=Path(folder)) as nodes:
            nodes.wait_active(300.0)
            with spun(Operator) as operator:
                for number in range(rollouts):
                    progress.print(f"rollout {number + 1} of {rollouts}")
                    operator.rollout()
                commands_ns = list(operator.commands_ns)
        timelines = [load_timeline(path) for path in sorted(recordings.glob("*.mcap"))]
    whole = LatencySummary.of(stamp_to_wire(timelines, commands_ns))
    what = f"camera stamp to command on the wire, processes apart, {precision}"
    results.add(f"{what}: median", round(whole.median_ms, 1), "ms", goal="<= 30")
    results.add(f"{what}: 99 %", round(whole.p99_ms, 1), "ms", goal="<= 80")
    results.add(f"{what}: steps", whole.count)
    for part, seconds in shares(timelines, commands_ns).items():
        summary = LatencySummary.of(seconds)
        results.add(f"ROS path, {precision}, share: {part}", round(summary.median_ms, 2), "ms")
    for stage, seconds in stage_latencies(timelines).items():
        summary = LatencySummary.of(seconds)
        name = "image's age when its prediction is published" if stage == "image_age" else stage
        results.add(f"ROS path, {precision}, {name}: median", round(summary.median_ms, 2), "ms")


def measure_start(policy: Path, repeats: int, results: Results) -> None:
    """The policy node alone: from the start of its process to active, and its memory then."""
    spec = next(
        spec for spec in graph.door_opening("sim", str(policy)) if spec.name == "vinn_policy"
    )
    seconds, resident_mib = [], []
    for number in range(repeats):
        progress.print(f"start {number + 1} of {repeats}")
        started_s = time.monotonic()
        with BringUp([spec], graph.environment("sim")) as nodes:
            nodes.wait_active(60.0)
            seconds.append(time.monotonic() - started_s)
            status = Path(f"/proc/{nodes.processes[0].pid}/status").read_text(encoding="utf-8")
            line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            resident_mib.append(int(line.split()[1]) / 1024)
    results.add(
        "policy node at 20,000 frames: process start to active, median",
        round(float(np.median(seconds)), 2),
        "s",
        goal="<= 3",
    )
    results.add(
        "policy node at 20,000 frames: resident memory",
        round(max(resident_mib)),
        "MiB",
        goal="<= 600",
    )


def main() -> None:
    """Measure what was asked for and add it to performance.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", type=Path, help="for the rollouts")
    parser.add_argument("--beside", type=Path, help="another policy to compare it with")
    parser.add_argument("--large", type=Path, help="for the start of the node")
    parser.add_argument(
        "--precision", choices=("fp32", "auto"), default="fp32", help="of the policy's encoder"
    )
    parser.add_argument("--rollouts", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    command = "python -m measure.ros_path"
    for option in ("policy", "beside", "large"):
        if getattr(arguments, option) is not None:
            command += f" --{option} {getattr(arguments, option).name}"
    if arguments.policy is not None:
        command += f" --precision {arguments.precision}"
    results = Results.continued(arguments.results, "performance", command)
    if arguments.beside is not None:
        compare(arguments.policy, arguments.beside, arguments, results)
    elif arguments.policy is not None:
        measure_rollouts(arguments.policy, arguments.rollouts, arguments.precision, results)
    if arguments.large is not None:
        measure_start(arguments.large, arguments.repeats, results)
    results.write(arguments.results)


if __name__ == "__main__":
    main()
