"""The shipped nodes around a fake robot: what the rows of the fault table are measured on.

Executor, policy and supervisor are processes of their own, with the parameters that a robot gets
(`config/door_opening.yaml`). The fake `stretch_driver` and the camera node, whose source is a
`FakeCamera`, run in this process. Times count from the moment a fault is injected to what the
driver saw.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import stretch_joints as sj
from diagnostic_msgs.msg import DiagnosticArray
from fault_camera import FakeCamera, write_policy
from fault_measure import Measure
from fault_settings import SETTINGS, patient_settings
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from ros_harness import Harness, ros_context
from std_srvs.srv import Trigger
from stretch_driver import FakeStretchDriver
from vinn.errors import RobotError
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUp
from vinn_ros.camera import node as wrist_camera
from vinn_ros.node import qos

from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.srv import StartRollout

START_TIMEOUT_S = 120.0
SLOW, QUICK = 0.15, 6.0
"""Pace of the joints: slow enough that a fault hits a motion, quick where nothing is measured."""
_RESETS = 3
NODES = ("stretch_executor", "vinn_policy", "rollout_supervisor")


@dataclass(frozen=True)
class Halt:
    """What followed a fault, in seconds from its injection."""

    last_motion_s: float
    """The last command that moved something; 0: none came any more."""
    hold_s: float | None
    """The first hold, or stop of the robot; None: none was sent."""
    ended_s: float
    """When the supervisor said that the rollout had ended."""
    named_s: float
    """When both status topic and /diagnostics had named the reason."""
    status: RolloutStatus

    @property
    def halt_s(self) -> float:
        return max(self.last_motion_s, self.hold_s or 0.0)


Elsewhere = Callable[[Callable[[], None]], None]
"""Runs what starts a process, on another host for instance."""


def _here(start: Callable[[], None]) -> None:
    start()


class Stack:
    """See the module's head."""

    def __init__(
        self,
        ros: Harness,
        directory: Path,
        patch: pytest.MonkeyPatch,
        elsewhere: Mapping[str, Elsewhere] | None = None,
    ) -> None:
        self._elsewhere = elsewhere or {}
        self.ros = ros
        self.directory = directory
        self.recordings = directory / "recordings"
        self.driver = ros.add(FakeStretchDriver())
        self.driver.joints.position[sj.YAW] = self.driver.joints.target[sj.YAW] = 1.53
        self.driver.joints.pace = QUICK
        self.camera = FakeCamera(lambda: self.driver.joints.position[sj.ARM])
        self.policy = write_policy(directory)
        specs = graph.door_opening("real", str(self.policy), recordings=str(self.recordings))
        specs = [spec for spec in specs if spec.name in NODES]
        self._specs = {
            spec.name: spec
            for spec in graph.with_settings(specs, (*SETTINGS, *patient_settings(directory)))
        }
        self.lines: list[str] = []
        self.nodes: dict[str, BringUp] = {}
        self.statuses: list[tuple[float, RolloutStatus]] = []
        self.executor_statuses: list[tuple[float, ExecutorStatus]] = []
        self.diagnostics: list[tuple[float, DiagnosticArray]] = []
        for message_type, topic, kept in (
            (RolloutStatus, "supervisor/status", self.statuses),
            (ExecutorStatus, "executor/status", self.executor_statuses),
            (DiagnosticArray, "/diagnostics", self.diagnostics),
        ):
            ros.node.create_subscription(
                message_type,
                topic,
                lambda message, kept=kept: kept.append((time.monotonic(), message)),
                qos.RECORD,
            )
        patch.setattr(wrist_camera, "open_source", self.camera.open)

    def bring_up(self) -> None:
        """Start every node and wait until they are active; `close` ends them in any case."""
        for name in NODES:
            self.launch(name)
        self.camera_node = self.ros.add(wrist_camera.WristCameraNode(["--ros-args"]))
        self.wait_active()

    def heal(self) -> None:
        """Take back whatever a row did; processes that were killed come back."""
        self.camera.plugged, self.camera.mode, self.camera.delay_s = True, "good", 0.0
        driver = self.driver
        driver.release_runstop()
        driver.silent, driver.homed, driver.mode, driver.battery_v = False, True, "position", 12.6
        driver.silent_topics, driver.hidden, driver.reverse = set(), set(), False
        driver.extra, driver.overrides = {}, {}
        driver.refuse, driver.mute = set(), set()
        driver.joints.stuck, driver.joints.pushing = set(), {}
        for name, bring_up in self.nodes.items():
            (process,) = bring_up.processes
            if process.exit_code is not None:
                self.respawn(name)
            else:
                os.kill(process.pid, signal.SIGCONT)
        if self.status.state == RolloutStatus.RUNNING:
            self.stop()

    # Processes

    def launch(self, name: str, remap: tuple[str, str] | None = None) -> None:
        """Start (again) one node."""
        spec = replace(self._specs[name], remappings=(remap,) if remap else ())
        env = {**graph.environment("real"), "ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
        bring_up = BringUp([spec], env, lambda n, line: self.lines.append(f"{n}: {line}"))
        self._elsewhere.get(name, _here)(bring_up.start)
        self.nodes[name] = bring_up

    def wait_active(self, *names: str) -> None:
        """Asks through the node of this process: one more context at a time is one too many.

        (Destroying a second DDS participant while another spins has hung in rclpy.)
        """
        deadline_s = time.monotonic() + START_TIMEOUT_S
        for name in names or NODES:
            while True:
                self.nodes[name].check()
                assert time.monotonic() < deadline_s, f"{name}: not active"
                with contextlib.suppress(RobotError):
                    answer = self.ros.call(GetState, f"{name}/get_state", timeout_s=1.0)
                    if answer.current_state.id == State.PRIMARY_STATE_ACTIVE:
                        break

    def pid(self, name: str) -> int:
        return self.nodes[name].processes[0].pid

    def kill(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGKILL)

    def respawn(self, name: str, remap: tuple[str, str] | None = None) -> None:
        """What a launch file with `respawn` does."""
        self.nodes[name].stop()
        self.launch(name, remap)
        self.wait_active(name)

    def close(self) -> dict[str, int]:
        """Stop the processes, as Ctrl-C does; returns the exit codes."""
        codes: dict[str, int] = {}
        for name in reversed(NODES):
            if name in self.nodes:
                codes |= self.nodes.pop(name).stop()
        return codes

    # Rollouts

    @property
    def status(self) -> RolloutStatus:
        return self.statuses[-1][1] if self.statuses else RolloutStatus()

    def reset(self) -> Trigger.Response:
        """Healthy again and at the start."""
        self.driver.joints.pace = QUICK
        answer = self.ros.call(Trigger, "supervisor/reset", timeout_s=60.0)
        assert isinstance(answer, Trigger.Response)
        return answer

    def clear(self) -> None:
        """What an operator does after a latched fault."""
        assert self.ros.call(Trigger, "executor/clear_latch").success

    def start(self, max_steps: int = 1000, name: str = "") -> StartRollout.Response:
        request = StartRollout.Request(name=name, max_steps=max_steps)
        answer = self.ros.call(StartRollout, "supervisor/start_rollout", request)
        assert isinstance(answer, StartRollout.Response)
        return answer

    def run(self, name: str = "", pace: float = SLOW) -> str:
        """Reset, start, and wait until the robot moves; returns the session.

        A machine that is busy elsewhere may end a rollout before it begins: then once more.
        """
        for _ in range(_RESETS - 1):
            with contextlib.suppress(AssertionError):
                return self._run(name, pace)
        return self._run(name, pace)

    def _run(self, name: str, pace: float) -> str:
        if self.status.state == RolloutStatus.RUNNING:
            self.stop()
        answer = self.reset()
        for _ in range(_RESETS):
            # A machine that is busy elsewhere may have let the joint states grow stale.
            if answer.success:
                break
            self.clear()
            answer = self.reset()
        assert answer.success, answer.message
        self.driver.joints.pace = pace
        began_s = time.monotonic()
        started = self._start_when_seeing(name)
        self._wait_for_motion_after(began_s)
        return started.session

    def _start_when_seeing(self, name: str) -> StartRollout.Response:
        """A policy that has just come up may not have predicted yet: ask again for a while."""
        answer = self.start(name=name)
        deadline_s = time.monotonic() + 20.0
        while not answer.accepted and time.monotonic() < deadline_s:
            answer = self.start(name=name)
        assert answer.accepted, f"{answer.reason}: {answer.message}"
        return answer

    def stop(self) -> None:
        assert self.ros.call(Trigger, "supervisor/stop_rollout").success
        self.wait_state(RolloutStatus.ENDED)

    def wait_state(self, state: int, timeout_s: float = 30.0) -> RolloutStatus:
        self.ros.wait_for(lambda: self.status.state == state, timeout_s)
        return self.status

    def wait_latched(self) -> None:
        """Until the executor says so; its status may come after the supervisor's."""
        self.ros.wait_for(
            lambda: self.executor_statuses[-1][1].state == ExecutorStatus.LATCHED, 30.0
        )

    def wait_motion(self) -> float:
        """Until the next motion command; returns when the driver saw it."""
        return self._wait_for_motion_after(self.driver.last_motion_s)

    def _wait_for_motion_after(self, before_s: float) -> float:
        self.ros.wait_for(
            lambda: (
                self.driver.last_motion_s > before_s or self.status.state == RolloutStatus.ENDED
            ),
            30.0,
        )
        status = self.status
        assert self.driver.last_motion_s > before_s, f"{status.reason}: {status.message}"
        return self.driver.last_motion_s

    # Faults

    def fault(self, inject: Callable[[], None], timeout_s: float = 20.0) -> Halt:
        """Inject a fault just after a motion began; wait for the end of the rollout."""
        for _ in range(_RESETS):
            with contextlib.suppress(AssertionError):  # a busy machine ended it before the fault
                self.wait_motion()
                break
            self.run()
        fault_s = time.monotonic()
        inject()

        def end() -> tuple[float, RolloutStatus] | None:
            for received_s, status in reversed(self.statuses):
                if received_s < fault_s:
                    return None
                if status.state in (RolloutStatus.ENDED, RolloutStatus.IDLE):
                    return received_s, status
            return None

        self.ros.wait_for(end, timeout_s)
        ended_s, status = next(
            (received_s, status)
            for received_s, status in self.statuses
            if received_s >= fault_s and status.state in (RolloutStatus.ENDED, RolloutStatus.IDLE)
        )
        named_s = self.named_after(fault_s, status.reason)
        return Halt(
            last_motion_s=max(0.0, self.driver.last_motion_s - fault_s),
            hold_s=self.hold_after(fault_s),
            ended_s=ended_s - fault_s,
            named_s=max(named_s, ended_s - fault_s),
            status=status,
        )

    def hold_after(self, fault_s: float) -> float | None:
        """Seconds to the first hold the driver saw, or None."""
        holds = [c.steady_s for c in list(self.driver.commands) if c.hold]
        holds += [at_s for at_s, name in self.driver.services_called if name == "stop_the_robot"]
        later = [at_s - fault_s for at_s in holds if at_s >= fault_s]
        return min(later) if later else None

    def named_after(self, fault_s: float, reason: str, timeout_s: float = 5.0) -> float:
        """Seconds until /diagnostics names the reason."""

        def named() -> float | None:
            return next(
                (
                    received_s - fault_s
                    for received_s, array in list(self.diagnostics)
                    if received_s >= fault_s
                    and any(reason in status.message for status in array.status)
                ),
                None,
            )

        found = self.ros.wait_for(lambda: named() is not None, timeout_s)
        assert found
        return float(named() or 0.0)

    def expect_no_motion(self, cycles: int = 12) -> int:
        """Motion commands during so many supervisor (or executor) statuses; should be none."""
        before = len(self.driver.motions())
        heard = len(self.statuses) + len(self.executor_statuses)
        self.ros.wait_for(
            lambda: len(self.statuses) + len(self.executor_statuses) >= heard + 2 * cycles, 30.0
        )
        return len(self.driver.motions()) - before

    def report(self, row: int, halt: Halt, reason: str, limit: str = "halt_s") -> Measure:
        """Assert and keep what a halting row must show."""
        measure = Measure(row)
        assert halt.status.reason == reason, f"{halt.status.reason}: {halt.status.message}"
        measure.time(f"halt ({reason})", halt.halt_s, limit)
        measure.time(f"{reason} named after the halt", halt.named_s - halt.halt_s, "named_s")
        return measure


@contextlib.contextmanager
def running_stack(
    directory: Path, elsewhere: Mapping[str, Elsewhere] | None = None
) -> Iterator[Stack]:
    """A stack in a ROS domain of its own; nodes that are named may start somewhere else."""
    with ros_context() as ros:
        stack: Stack | None = None
        patch = pytest.MonkeyPatch()
        try:
            stack = Stack(ros, directory, patch, elsewhere)
            stack.bring_up()
            yield stack
        finally:
            patch.undo()
            if stack is not None:
                stack.driver.take_down()
                stack.close()
