"""A robot's driver that is killed and started again: clear the latch, reset, go on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_bench import CONFIG, Bench
from ros_harness import Harness
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from vinn_ros.bringup import graph
from vinn_ros.node import qos

from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.srv import MoveToStart

pytestmark = pytest.mark.ros

DRIVER = Path(__file__).parents[2] / "fakes" / "robot" / "stretch_driver.py"


class DriverProcess:
    """A fake driver in a process of its own."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = {**os.environ, **graph.environment("real")}
        self._process = subprocess.Popen([sys.executable, str(DRIVER)], env=env)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10.0)


@pytest.fixture
def process(ros: Harness) -> Iterator[DriverProcess]:
    process = DriverProcess()
    yield process
    process.kill()


class ProcessBench(Bench):
    """The bench around a fake driver in a process of its own."""

    # Joint states count for a second, so that a driver's death is noticed soon.
    config = CONFIG.replace("max_state_age_s: 2.0", "max_state_age_s: 1.0")

    def __init__(self, ros: Harness, directory: Path, process: DriverProcess) -> None:
        self.process = process
        super().__init__(ros, directory, "streaming")
        self.between_rollouts(RolloutStatus.IDLE)

    def start_robot(self) -> None:
        self.joints = self.ros.listen(JointState, "stretch/joint_states", qos.NEWEST)
        self.start_driver()

    def start_driver(self) -> None:
        self.process.start()
        heard = len(self.joints)
        self.ros.wait_for(lambda: len(self.joints) > heard + 3, 60.0)

    def home(self, right_m: float) -> MoveToStart.Response:
        request = MoveToStart.Request()
        request.offset.y = right_m
        return self.ros.call(MoveToStart, "executor/home", request, 60.0)

    def arm_m(self) -> float:
        message = self.joints[-1]
        return dict(zip(message.name, message.position, strict=True))["wrist_extension"]


@pytest.fixture
def restarts(ros: Harness, tmp_path: Path, process: DriverProcess) -> ProcessBench:
    return ProcessBench(ros, tmp_path, process)


@pytest.mark.crosses_processes(reason="a driver that starts again has to be found in time")
@pytest.mark.parametrize("when", ["idle", "mid-reset", "mid-rollout"])
def test_a_driver_that_was_killed_is_met_anew(restarts: ProcessBench, when: str) -> None:
    assert restarts.home(0.0).success
    if when == "idle":
        restarts.process.kill()
    elif when == "mid-reset":
        answers: list[MoveToStart.Response] = []
        asking = threading.Thread(target=lambda: answers.append(restarts.home(0.1)))
        asking.start()
        restarts.ros.wait_for(lambda: restarts.arm_m() > 0.22)
        restarts.process.kill()
        asking.join(60.0)
        assert not answers[0].success
    else:
        restarts.running()
        handle = restarts.send(1, forward_m=0.05)
        restarts.process.kill()
        assert restarts.result(handle).error_code in ("STATE_STALE", "ROBOT_ERROR")
        restarts.between_rollouts(RolloutStatus.ENDED)
    restarts.start_driver()
    # The documented recovery.
    assert restarts.ros.call(Trigger, "executor/clear_latch").success
    answer = restarts.home(0.04)
    assert (answer.success, answer.message) == (True, "")
    assert restarts.arm_m() == pytest.approx(0.24, abs=0.01)
    restarts.running()
    assert restarts.step(2, forward_m=0.03).error_code == "NONE"


@pytest.mark.parametrize("tells", [True, False])
def test_one_that_came_back_without_streaming_is_told_to_stream(
    ros: Harness, tmp_path: Path, tells: bool
) -> None:
    """Also where the driver does not say whether it streams, as older ones."""
    bench = Bench(ros, tmp_path, "streaming")
    if not tells:
        bench.robot.silent_topics = {"is_streaming_position"}
        bench.node._robot.driver._streaming = None  # what was heard before
    assert bench.step(1).error_code == "NONE"
    for latching in (True, False):
        if latching:
            bench.robot.press_runstop()
            bench.ros.wait_for(lambda: bench.statuses[-1].state == ExecutorStatus.LATCHED)
            bench.robot.release_runstop()
        bench.robot.silent = True  # for as long as no driver runs
        bench.ros.wait_for(lambda: bench.node._robot.driver.interrupted)
        bench.robot.streaming, bench.robot.silent = False, False
        bench.between_rollouts(RolloutStatus.ENDED)
        if latching:
            assert bench.ros.call(Trigger, "executor/clear_latch").success
        answer = bench.ros.call(MoveToStart, "executor/home")
        assert (answer.success, answer.message) == (True, "")
        bench.running()


def test_only_clear_latch_clears_a_latch(ros: Harness, tmp_path: Path) -> None:
    """Neither a deactivated nor a cleaned-up executor forgets what stopped the robot."""
    bench = Bench(ros, tmp_path, "streaming")
    assert bench.step(1).error_code == "NONE"
    bench.robot.press_runstop()
    bench.ros.wait_for(lambda: bench.statuses[-1].state == ExecutorStatus.LATCHED)
    bench.robot.release_runstop()
    node = bench.node
    for transitions in (
        (node.trigger_deactivate, node.trigger_activate),
        (
            node.trigger_deactivate,
            node.trigger_cleanup,
            node.trigger_configure,
            node.trigger_activate,
        ),
    ):
        for transition in transitions:
            transition()
        bench.ros.wait_for(lambda: node._lease.session == "s1")
        bench.between_rollouts(RolloutStatus.RESETTING)
        sent = len(bench.robot.commands)
        answer = bench.ros.call(MoveToStart, "executor/home")
        assert (answer.success, answer.reason) == (False, "LATCHED")
        assert len(bench.robot.commands) == sent
        bench.ros.wait_for(lambda: bench.statuses[-1].state == ExecutorStatus.LATCHED)
        bench.running()
    bench.between_rollouts(RolloutStatus.RESETTING)
    assert "RUNSTOP" in bench.ros.call(Trigger, "executor/clear_latch").message
    assert bench.ros.call(MoveToStart, "executor/home").success


def test_a_supervisor_lost_between_two_steps_is_named_and_does_not_go_on(
    ros: Harness, tmp_path: Path
) -> None:
    bench = Bench(ros, tmp_path, "streaming")
    assert bench.step(1).error_code == "NONE"
    bench.renewing = False
    bench.ros.wait_for(lambda: bench.statuses[-1].reason == "SUPERVISOR_LOST")
    bench.renewing = True
    bench.running()
    sent = len(bench.robot.commands)
    assert bench.step(2).error_code == "NOT_READY"
    assert len(bench.robot.commands) == sent
    bench.between_rollouts(RolloutStatus.RESETTING)
    assert bench.ros.call(MoveToStart, "executor/home").success
    bench.running()
    assert bench.step(3).error_code == "NONE"
