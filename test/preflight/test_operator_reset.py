"""`vinn-operator reset` says what the reset is doing; `ready` lets one that waits go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")

from test_supervisor_preflight import Bench, FakeRest

pytestmark = [
    pytest.mark.ros,
    pytest.mark.crosses_processes(
        reason="the command and the nodes here have to find each other in time"
    ),
]


def operator(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vinn_ros.operator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        # A test run in the background ignores Ctrl-C, and its children would as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_a_reset_is_followed_and_goes_on_when_all_is_ready(ros: Any, tmp_path: Path) -> None:
    bench = Bench(ros, tmp_path, "confirm_environment:=true")
    reset = operator("reset", "--timeout", "60")
    ros.wait_for(lambda: bench.node._reset.waiting, timeout_s=60.0)
    # It heard of it, and it is still waiting.
    assert reset.stderr is not None
    while "environment ready" not in (line := reset.stderr.readline()):
        assert line, "ended without saying what it waits for"
    assert reset.poll() is None
    ready = operator("ready")
    assert ready.wait(60) == 0
    out, _ = reset.communicate(timeout=60)
    assert reset.returncode == 0
    assert out.startswith("trial 0, offset (")


def test_ctrl_c_ends_the_reset_and_not_the_command_alone(ros: Any, tmp_path: Path) -> None:
    bench = Bench(ros, tmp_path, "confirm_environment:=true")
    reset = operator("reset")
    ros.wait_for(lambda: bench.node._reset.waiting, timeout_s=60.0)
    # It has heard of its own reset by now: it waits for the answer.
    assert reset.stderr is not None
    while "environment ready" not in (line := reset.stderr.readline()):
        assert line, "ended without saying what it waits for"
    reset.send_signal(signal.SIGINT)
    _, error = reset.communicate(timeout=60)
    assert reset.returncode == 130
    assert error.strip() == "interrupted: stopping"
    ros.wait_for(lambda: bench.statuses[-1].reason == "OPERATOR_STOP")
    assert not bench.node._reset.waiting


def test_a_stop_does_not_need_the_supervisor(ros: Any) -> None:
    rest = ros.add(FakeRest())
    stop = operator("stop", "--timeout", "8")
    out, error = stop.communicate(timeout=60)
    assert (stop.returncode, rest.stopped) == (0, 1)
    assert "supervisor/stop_rollout: not there within 8 s" in error
    assert out.strip() == "stopping"


def test_a_stop_that_nobody_hears_is_exit_code_3(ros: Any) -> None:
    stop = operator("stop", "--timeout", "1")
    _, error = stop.communicate(timeout=60)
    assert stop.returncode == 3
    assert "supervisor/stop_rollout" in error and "executor/stop" in error


def test_a_refused_reset_is_one_line_and_exit_code_1(ros: Any, tmp_path: Path) -> None:
    from sensor_msgs.msg import BatteryState

    bench = Bench(ros, tmp_path)
    bench.change("battery", BatteryState(voltage=9.5), "LOW_BATTERY")
    out, error = (reset := operator("reset")).communicate(timeout=60)
    assert (reset.returncode, out) == (1, "")
    assert error.strip().splitlines()[-1].startswith("LOW_BATTERY: battery: 9.5 V")
