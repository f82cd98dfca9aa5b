"""The shipped nodes, a fake robot's driver and a fake camera, all of which may die and come back.

Executor, policy, supervisor, console and driver are processes of their own; the camera node and an
operator run here. What they say is kept, and so is how much memory each process takes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import yaml
from fault_camera import FakeCamera, write_policy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from ros_harness import Harness
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from vinn.errors import RobotError
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUp, NodeProcess
from vinn_ros.camera import node as wrist_camera
from vinn_ros.node import qos
from vinn_ros.paths import config_directory

from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.srv import StartRollout

NODES = ("stretch_executor", "vinn_policy", "rollout_supervisor")
TOPICS = {
    "stretch_executor": "executor/status",
    "vinn_policy": "policy/prediction",
    "rollout_supervisor": "supervisor/status",
}
"""By which a second node of a kind is seen."""
CONSOLE = "operator_console"
DRIVER = Path(__file__).resolve().parents[2] / "test" / "fakes" / "robot" / "stretch_driver.py"
SETTINGS = (
    # The fake camera's picture does not move with the robot.
    "rollout_supervisor.sign_check='off'",
    "rollout_supervisor.min_free_mib=0",
    "stretch_executor.service_timeout_s=3.0",
    "operator_console.port=0",
    # A machine that is measured in every way at once is late at times.
    "rollout_supervisor.prediction_timeout_s=3.0",
    "rollout_supervisor.policy_timeout_s=1.5",
    "rollout_supervisor.camera_timeout_s=1.5",
    "rollout_supervisor.executor_timeout_s=2.0",
    "stretch_executor.lease_s=1.5",
    "vinn_policy.max_image_age_s=1.0",
)
_TIMEOUT_S = 120.0
_WITH_ROBOT = ("stretch_executor", "rollout_supervisor")


@dataclass(frozen=True)
class Usage:
    """What a process holds."""

    resident_mib: float
    files: int
    threads: int


def usage(pid: int) -> Usage:
    """What a process holds now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return Usage(
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        len(list(Path(f"/proc/{pid}/task").iterdir())),
    )


class RobustnessStack:
    """See the module's head. A context manager; `ros` is in the domain of the environment."""

    def __init__(self, ros: Harness, directory: Path) -> None:
        self.ros = ros
        self.camera = FakeCamera(lambda: self.joints.get("wrist_extension", 0.2))
        self.lines: list[str] = []
        self.statuses: list[RolloutStatus] = []
        self.joints: dict[str, float] = {}
        self._joints_s = 0.0
        self.nodes: dict[str, BringUp] = {}
        self._driver: subprocess.Popen[bytes] | None = None
        policy = write_policy(directory)
        robot = directory / "robot"
        robot.mkdir()
        config = config_directory() / "robot"
        shutil.copy(config / "tools.yaml", robot)
        settings = yaml.safe_load((config / "stretch.yaml").read_text())
        settings.setdefault("executor", {})["max_state_age_s"] = 1.0
        (robot / "stretch.yaml").write_text(yaml.safe_dump(settings))
        patient = [f"{name}.robot_config={robot / 'stretch.yaml'}" for name in _WITH_ROBOT]
        specs = graph.door_opening(
            "real", str(policy), recordings=str(directory / "recordings"), console=True
        )
        self._specs = {
            spec.name: spec
            for spec in graph.with_settings(
                [spec for spec in specs if spec.name in (*NODES, CONSOLE)], [*SETTINGS, *patient]
            )
        }
        ros.node.create_subscription(
            RolloutStatus, "supervisor/status", self.statuses.append, qos.RECORD
        )
        self.executor = ExecutorStatus()
        ros.node.create_subscription(
            ExecutorStatus, "executor/status", self._take_executor, qos.STREAM
        )
        ros.node.create_subscription(JointState, "stretch/joint_states", self._take, qos.NEWEST)

    def __enter__(self) -> RobustnessStack:
        self.start_driver()
        for name in self._specs:
            self.launch(name)
        wrist_camera.open_source = self.camera.open  # type: ignore[assignment]
        self.ros.add(wrist_camera.WristCameraNode(["--ros-args"]))
        for name in self._specs:
            self.wait_active(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for bring_up in list(self.nodes.values()):
            bring_up.stop()
        self.kill_driver()

    # Processes

    def launch(self, name: str, label: str = "") -> None:
        """Start a node, or a second one like it, which is `label` here."""
        env = {**graph.environment("real"), "ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
        spec = self._specs[name]
        bring_up = BringUp([spec], env, lambda n, line: self.lines.append(f"{n}: {line}"))
        bring_up.start()
        self.nodes[label or name] = bring_up

    def wait_active(self, name: str) -> None:
        """Until a node says that it is active."""
        deadline_s = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline_s:
            self.nodes[name].check()
            with contextlib.suppress(RobotError):
                answer = self.ros.call(GetState, f"{name}/get_state", timeout_s=1.0)
                if answer.current_state.id == State.PRIMARY_STATE_ACTIVE:
                    return
        raise RobotError(f"{name}: not active within {_TIMEOUT_S:g} s")

    def wait_second(self, name: str) -> None:
        """Until a second node of a kind can be seen."""
        self.ros.wait_for(lambda: self.ros.node.count_publishers(TOPICS[name]) > 1, _TIMEOUT_S)

    def process(self, name: str) -> NodeProcess:
        """The process of a node."""
        return self.nodes[name].processes[0]

    def end(self, name: str) -> int:
        """Stop a node as Ctrl-C does; returns its exit code."""
        (code,) = self.nodes.pop(name).stop().values()
        return code

    def kill(self, name: str) -> None:
        """SIGKILL."""
        os.kill(self.process(name).pid, signal.SIGKILL)

    def revive(self) -> None:
        """Start again whatever has ended, the driver too; plug the camera in."""
        self.camera.plugged = True
        if self._driver is None:
            self.start_driver()
        for name in self._specs:
            if self.process(name).exit_code is not None:
                self.nodes.pop(name).stop()
                self.launch(name)
                self.wait_active(name)

    def usages(self) -> dict[int, tuple[str, Usage]]:
        """By process id: the node, and what its process holds."""
        found = {}
        for name in self._specs:
            process = self.process(name)
            if process.exit_code is None:
                with contextlib.suppress(OSError):
                    found[process.pid] = (name, usage(process.pid))
        return found

    def start_driver(self) -> None:
        """Until its joint states come."""
        env = {**os.environ, **graph.environment("real")}
        self._driver = subprocess.Popen([sys.executable, str(DRIVER)], env=env)
        began_s = time.monotonic()
        self.ros.wait_for(lambda: self._joints_s > began_s, _TIMEOUT_S)

    def kill_driver(self) -> None:
        """SIGKILL."""
        if self._driver is not None:
            self._driver.kill()
            self._driver.wait(10.0)
            self._driver = None

    def _take_executor(self, status: ExecutorStatus) -> None:
        self.executor = status

    def _take(self, message: JointState) -> None:
        self.joints = dict(zip(message.name, message.position, strict=False))
        self._joints_s = time.monotonic()

    # What an operator does

    @property
    def status(self) -> RolloutStatus:
        """The supervisor's newest."""
        return self.statuses[-1] if self.statuses else RolloutStatus()

    def reset(self) -> str:
        """Why a reset failed; empty: it did not."""
        try:
            answer = self.ros.call(Trigger, "supervisor/reset", timeout_s=_TIMEOUT_S)
        except RobotError as error:
            return str(error)
        return "" if answer.success else str(answer.message)

    def start(self, max_steps: int) -> tuple[str, str]:
        """The session, and why it was refused. A policy that came back may not see yet."""
        request = StartRollout.Request(max_steps=max_steps)
        deadline_s = time.monotonic() + 20.0
        why = "not asked"
        while time.monotonic() < deadline_s:
            with contextlib.suppress(RobotError):
                answer = self.ros.call(StartRollout, "supervisor/start_rollout", request)
                if answer.accepted:
                    return str(answer.session), ""
                why = f"{answer.reason}: {answer.message}"
            time.sleep(0.2)
        return "", why

    def stop(self) -> None:
        """Ask the supervisor to stop."""
        with contextlib.suppress(RobotError):
            self.ros.call(Trigger, "supervisor/stop_rollout", timeout_s=10.0)

    def recover(self) -> str:
        """As documented: look, clear the latch, reset. Why that failed; empty: it did not."""
        with contextlib.suppress(RobotError):
            self.ros.call(Trigger, "executor/clear_latch", timeout_s=10.0)
        return self.reset()

    def wait_end(self, session: str, timeout_s: float) -> str:
        """The reason of a rollout's end; empty: it did not end."""
        with contextlib.suppress(AssertionError):
            self.ros.wait_for(lambda: self._reason(session), timeout_s)
        return self._reason(session)

    def _reason(self, session: str) -> str:
        status = self.status
        if status.session == session and status.state == RolloutStatus.ENDED:
            return str(status.reason)
        # Of a supervisor that was killed the executor says it.
        lost = self.executor.session == session and self.executor.reason == "SUPERVISOR_LOST"
        return "SUPERVISOR_LOST" if lost else ""

    def wait_steps(self, session: str, steps: int, timeout_s: float = 60.0) -> None:
        """Until the rollout has made so many steps, or has ended."""
        with contextlib.suppress(AssertionError):
            self.ros.wait_for(
                lambda: (
                    (self.status.session == session and self.status.step >= steps)
                    or self._reason(session)
                ),
                timeout_s,
            )
