"""Measure recording, replay, console and correction; writes docs/results/replay.json.

    python -m measure.replay --policy runs/demo/policy [--out DIR] [--images DIR]

Starts the simulated system in processes of its own, lets a headless Chromium drive the operator
console through a rollout (reset, start, watch, stop in the middle, label), kills each process in
turn with SIGKILL during a rollout, replays what was recorded, and extends a large artefact.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from rosbags.rosbag2 import Reader
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta
from vinn.encoders.encoder import load_encoder
from vinn.errors import RobotError, VinnError
from vinn.evaluation.results import Results
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.edit import extend_policy
from vinn.policies.artefacts.embedding import EmbeddedDataset, embed_dataset
from vinn.policies.build import build_policy
from vinn.policies.kinds.nearest import VinnSettings
from vinn.recordings.replay import SAME_ACTION, replay_recording
from vinn.rollout.label import read_label
from vinn.rollout.reader import read_recording
from vinn.rollout.repair import repair_recording
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUp
from vinn_ros.node import qos
from vinn_ros.node.calls import call

from measure.headless_chromium import HeadlessChromium
from measure.spinning import spun
from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.srv import StartRollout

PORT = 8799
STEPS_WATCHED = 3
LARGE_FRAMES = 20_000
ATTEMPTS = 3
KILLED = (
    "vinn_policy",
    "stretch_executor",
    "stretch_sim",
    "rollout_supervisor",
    "operator_console",
    "views",
)
BYSTANDERS = ("operator_console", "views")
"""Nodes that a rollout does without: it goes on when they are gone."""
REPEATS = 5


@dataclass
class Heard:
    """What was on the topics, by the wall clock [s]."""

    commands_s: list[float] = field(default_factory=list)
    executor: list[tuple[float, int]] = field(default_factory=list)
    supervisor: RolloutStatus = field(default_factory=RolloutStatus)
    changed: threading.Condition = field(default_factory=threading.Condition)


class Listener(Node):
    """Hears commands and states."""

    def __init__(self) -> None:
        super().__init__("measure_replay", use_global_arguments=False)
        self.heard = Heard()
        stream = qos.STREAM
        self.create_subscription(Float64MultiArray, "joint_pose_cmd", self._command, stream)
        self.create_subscription(ExecutorStatus, "executor/status", self._executor, stream)
        self.create_subscription(RolloutStatus, "supervisor/status", self._supervisor, stream)
        self.reset = self.create_client(Trigger, "supervisor/reset")
        self.start = self.create_client(StartRollout, "supervisor/start_rollout")

    def _command(self, message: Float64MultiArray) -> None:
        self.heard.commands_s.append(time.time())

    def _executor(self, status: ExecutorStatus) -> None:
        self.heard.executor.append((time.time(), int(status.state)))

    def _supervisor(self, status: RolloutStatus) -> None:
        with self.heard.changed:
            self.heard.supervisor = status
            self.heard.changed.notify_all()

    def wait(self, what: Any, timeout_s: float) -> bool:
        """Wait until `what` holds of the supervisor's status."""
        with self.heard.changed:
            return self.heard.changed.wait_for(lambda: what(self.heard.supervisor), timeout_s)


@contextmanager
def system(
    policy: Path, recordings: Path, logs: Path, console: bool, views: bool = False
) -> Iterator[BringUp]:
    """The simulated system, one process per node."""
    specs = graph.door_opening(
        "sim", str(policy), recordings=str(recordings), console=console, views=views
    )
    if console:
        specs = graph.with_settings(specs, [f"operator_console.port={PORT}"])
    with BringUp(specs, graph.environment("sim"), log_directory=logs) as nodes:
        nodes.wait_active(300.0)
        yield nodes


async def drive(listener: Listener, images: Path) -> dict[str, float]:
    """One rollout through the page; returns what was measured."""
    state = "document.getElementById('state').textContent"
    async with HeadlessChromium() as page:
        await page.size(1280, 860)
        await page.goto(f"http://127.0.0.1:{PORT}/")
        await page.wait_for(f"document.getElementById('state') && {state} == 'IDLE'", 120)
        await page.press("r")
        await page.wait_for(f"{state} == 'READY'", 180)
        await page.evaluate("document.getElementById('name').value = 'console'")
        await page.press("s")
        await page.wait_for("(document.getElementById('mosaic').naturalWidth || 0) > 0", 120)
        steps = "Number((document.getElementById('steps').textContent.match(/\\d+/) || [0])[0])"
        await page.wait_for(f"{state} == 'RUNNING' && {steps} >= {STEPS_WATCHED - 1}", 180)
        await page.screenshot(images / "console.jpg")
        number = await page.evaluate(steps)
        while True:  # stop in the middle of a motion, not between two
            await page.wait_for(f"{steps} > {number} || {state} != 'RUNNING'", 120)
            executing = asyncio.get_running_loop().time() + 20
            while listener.heard.executor[-1][1] != ExecutorStatus.EXECUTING:
                if asyncio.get_running_loop().time() > executing:
                    raise TimeoutError("the robot does not move")
                await asyncio.sleep(0.005)
            break
        clicked_s = await page.evaluate(
            "(() => { const now = Date.now(); document.getElementById('stop').click();"
            " return now / 1000; })()"
        )
        await page.wait_for(f"{state} == 'ENDED'", 60)
        heard = listener.heard
        at_rest_s = min(
            t for t, s in heard.executor if t > clicked_s and s != ExecutorStatus.EXECUTING
        )
        # A command that arrives after the stop is the hold; nothing may follow it.
        late = [t for t in heard.commands_s if t > clicked_s]
        halt_s = max([at_rest_s, *late]) - clicked_s
        await page.evaluate("document.getElementById('note').value = 'stopped through the page'")
        await page.press("f")
        await page.wait_for("document.getElementById('notes').innerText.includes('label')", 60)
        await page.screenshot(images / "console-ended.jpg")
        await page.size(390, 780, 2, mobile=True)
        await asyncio.sleep(0.5)
        await page.screenshot(images / "console-phone.jpg", quality=55)
        session = listener.heard.supervisor.session
        await page.goto(f"http://127.0.0.1:{PORT}/recordings/{session}")
        await page.wait_for("document.querySelectorAll('.track').length > 3", 120)
        return {"halt_s": halt_s, **await step_by_step(page, state, images)}


async def step_by_step(page: HeadlessChromium, state: str, images: Path) -> dict[str, float]:
    """Set k through the page, then a rollout in step mode: one action for each press."""
    neighbors = "document.querySelectorAll('#neighbors tr').length - 1"
    setting = "document.getElementById('set-k')"
    waiting = "document.getElementById('step').classList.contains('waiting')"
    steps = "Number((document.getElementById('steps').textContent.match(/\\d+/) || [0])[0])"
    await page.size(1280, 860)
    await page.goto(f"http://127.0.0.1:{PORT}/")
    await page.wait_for(f"{setting} && {neighbors} > 0", 120)
    await page.evaluate(f"{setting}.value = 4; {setting}.oninput()")
    await page.evaluate(f"{setting}.parentElement.querySelector('button').click()")
    await page.wait_for(f"{neighbors} == 4", 60)
    await page.evaluate("document.getElementById('step-mode').click()")
    await page.evaluate("document.activeElement.blur()")
    await page.press("r")
    await page.wait_for(f"{state} == 'READY'", 180)
    await page.evaluate("document.getElementById('name').value = 'step by step'")
    await page.press("s")
    await page.wait_for(f"{state} == 'RUNNING' && {waiting}", 120)
    taken: list[int] = []
    for _ in range(3):
        await page.press("n")
        await page.wait_for(f"{steps} > {len(taken)} && {waiting}", 120)
        await asyncio.sleep(1.0)  # nothing may move without a press
        taken.append(await page.evaluate(steps))
    await page.screenshot(images / "console-steps.jpg")
    await page.press(" ")
    await page.wait_for(f"{state} == 'ENDED'", 60)
    await page.evaluate("document.getElementById('step-mode').click()")
    await page.evaluate(f"{setting}.value = 0; {setting}.oninput()")
    await page.evaluate(f"{setting}.parentElement.querySelector('button').click()")
    await page.wait_for(f"{neighbors} != 4", 60)
    return {"one_by_one": float(taken == [1, 2, 3])}


def one_rollout(listener: Listener, steps: int, name: str) -> None:
    """Reset and start; returns when `steps` steps were taken, if need be of a second rollout."""
    for _ in range(ATTEMPTS):
        answer = call(listener.reset, Trigger.Request(), 180.0)
        if not answer.success:
            raise RobotError(f"reset: {answer.message}")
        started = call(listener.start, StartRollout.Request(name=name), 20.0)
        if not started.accepted:
            raise RobotError(f"start: {started.reason} {started.message}")
        listener.wait(
            lambda s, session=started.session: (
                s.session == session and (s.step >= steps or s.state == RolloutStatus.ENDED)
            ),
            timeout_s=180.0,
        )
        status = listener.heard.supervisor
        if status.session == started.session and status.state != RolloutStatus.ENDED:
            return
    raise RobotError(f"{name}: {steps} steps not taken: {status.reason} {status.message}")


def measure_replay(recording: Path, policy: Path, results: Results) -> None:
    """Replay with all cores; reading the recording counts, loading the policy does not."""
    artefact = open_artefact(policy)
    encoder = load_encoder(policy / "encoder", streams=os.cpu_count() or 1)
    summaries = []
    processor_s = []
    for _ in range(REPEATS):
        began_s = time.process_time()
        summaries.append(replay_recording(recording, artefact.policy(), encoder=encoder).summary())
        processor_s.append(time.process_time() - began_s)
    difference = max(summary.max_action_difference for summary in summaries)
    speed = float(np.median([summary.speed for summary in summaries]))
    results.add("replay: largest action difference", difference, "", f"<= {SAME_ACTION}")
    results.add("replay: predictions compared", summaries[0].predictions)
    results.add("replay: recorded", summaries[0].recorded_s, "s")
    results.add(f"replay: times real time, median of {REPEATS}", speed, "x", ">= 5")
    results.add("replay: processor time, median", float(np.median(processor_s)), "s")


def measure_kill(policy: Path, folder: Path, victim: str) -> float:
    """Kill one process during a rollout; how much of the time before is missing [s]."""
    recordings = folder / f"killed-{victim}"
    bystander = victim in BYSTANDERS
    with (
        spun(Listener) as listener,
        system(policy, recordings, folder / "logs", bystander, bystander) as nodes,
    ):
        one_rollout(listener, 3, victim)
        pid = next(p.pid for p in nodes.processes if p.spec.name == victim)
        os.kill(pid, signal.SIGKILL)
        killed_ns = time.time_ns()
        if victim == "rollout_supervisor":
            time.sleep(0.5)  # what the operating system has is on disk by now
        elif bystander:
            step = listener.heard.supervisor.step
            if not listener.wait(
                lambda s: s.step > step or s.state == RolloutStatus.ENDED, timeout_s=60.0
            ):
                raise RobotError(f"{victim} killed: the rollout stands still")
            listener.wait(lambda s: s.state == RolloutStatus.ENDED, timeout_s=300.0)
        elif not listener.wait(lambda s: s.state == RolloutStatus.ENDED, 60.0):
            raise RobotError(f"{victim} killed: the rollout did not end")
    # Named by the time of their start.
    recording = max(path for path in recordings.iterdir() if ".mcap" in path.name)
    recording = repair_recording(recording).path if recording.suffix == ".partial" else recording
    with Reader(recording) as reader:  # as `ros2 bag info` does, through the index
        counted = sum(1 for _ in reader.messages())
    stamps = [message.stamp_ns for message in read_recording(recording)]
    if counted != len(stamps):
        raise RobotError(f"{recording}: {counted} messages by the index, {len(stamps)} in it")
    before = max(stamp for stamp in stamps if stamp <= killed_ns)
    return (killed_ns - before) / 1e9


def measure_adding(policy: Path, folder: Path) -> tuple[float, float]:
    """Extend an artefact of `LARGE_FRAMES` frames by one demonstration: all of it, encoding [s]."""
    artefact = open_artefact(policy)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64, 3), np.uint8)
    camera = CameraInfo(name="wrist", width_px=64, height_px=64)

    def demonstrate(root: Path, name: str, count: int) -> None:
        meta = DemonstrationMeta(name=name, task="door", camera=camera)
        delta = rng.normal(0, 0.01, (count, 3))
        frames = (image for _ in range(count))
        write_demonstration(root, meta, frames, delta, np.zeros(count, int))

    for number in range(20):
        demonstrate(folder / "large", f"large-{number:02d}", LARGE_FRAMES // 20)
    large = Dataset.open(folder / "large")
    settings = artefact.settings
    if not isinstance(settings, VinnSettings):
        raise SystemExit(f"error: {policy}: not a nearest-neighbour policy")
    embeddings = rng.normal(0, 1, (LARGE_FRAMES, settings.dimension)).astype(np.float32)
    embedded = EmbeddedDataset(embeddings, large.hash, settings.encoder_hash)
    built = build_policy(large, policy / "encoder", folder / "large-policy", 5, embedded=embedded)
    demonstrate(folder / "one", "one", 20)
    one = Dataset.open(folder / "one")
    began_s = time.perf_counter()
    encoded = embed_dataset(one, load_encoder(policy / "encoder"))
    encoding_s = time.perf_counter() - began_s
    took = []
    for number in range(REPEATS):
        began_s = time.perf_counter()
        extend_policy(built, one, folder / f"extended-{number}", embedded=encoded)
        took.append(time.perf_counter() - began_s)
        shutil.rmtree(folder / f"extended-{number}")
    return float(np.median(took)), encoding_s


def measure_console(policy: Path, folder: Path, images: Path, results: Results) -> None:
    """Console and replay of what was recorded through it."""
    recordings = folder / "recordings"
    with spun(Listener) as listener, system(policy, recordings, folder / "logs", True):
        driven = asyncio.run(drive(listener, images))
        one_rollout(listener, 1, "whole")
        listener.wait(lambda s: s.state == RolloutStatus.ENDED, 300.0)
        whole = Path(listener.heard.supervisor.recording)
    labels = [read_label(path) for path in recordings.glob("*.mcap")]
    results.add("console: click on Stop to halt", driven["halt_s"], "s", "<= 0.3")
    results.add("console: rollout driven and labelled", any(labels), "", "== true")
    one_by_one = bool(driven["one_by_one"])
    results.add("console: one action for each press in step mode", one_by_one, "", "== true")
    measure_replay(whole, policy, results)


def measure_kills(policy: Path, folder: Path, images: Path, results: Results) -> None:
    """SIGKILL of each process in turn."""
    for victim in KILLED:
        missing_s = measure_kill(policy, folder, victim)
        results.add(f"SIGKILL of {victim}: recording ends before it by", missing_s, "s", "<= 1")


def measure_extension(policy: Path, folder: Path, images: Path, results: Results) -> None:
    """One demonstration more in a large artefact."""
    rest_s, encoding_s = measure_adding(policy, folder)
    name = f"one demonstration into {LARGE_FRAMES} frames, median of {REPEATS}"
    results.add(name, rest_s, "s", "<= 2")
    results.add("the same: loading the encoder and encoding 20 frames", encoding_s, "s")


PARTS = {"console": measure_console, "kills": measure_kills, "extension": measure_extension}


def main() -> None:
    """Parse, measure, write; parts that are not measured keep their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="measure-replay-"))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(100 + os.getpid() % 100))
    results = Results("replay", "python -m measure.replay --policy runs/demo/policy")
    before = options.out / "replay.json"
    if set(options.parts) != set(PARTS) and before.exists():
        for row in Results.read(before).rows:
            results.add(row.name, row.value, row.unit, row.goal)
    try:
        for part in options.parts:
            PARTS[part](options.policy.resolve(), folder, options.images, results)
    except (VinnError, TimeoutError) as error:
        raise SystemExit(f"error: {error}; logs: {folder}") from error
    print(results.write(options.out))
    print(json.dumps([[row.name, row.value, row.met] for row in results.rows], indent=1))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
