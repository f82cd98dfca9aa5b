"""A node that is told to end before it is up ends at once, with exit code 0 and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from camera_process import camera_specs, environment, write_frames
from ros_domain import own_domain
from vinn_ros.bringup import graph
from vinn_ros.bringup.graph import NodeSpec
from vinn_ros.bringup.processes import BringUp

pytestmark = pytest.mark.ros

LAUNCH_PATIENCE_S = 5.0
"""What `ros2 launch` waits before it insists, and what the documents promise."""
NODES = ("views", "wrist_camera", "rollout_supervisor", "operator_console")

SLOW = """
import sys, time
from vinn_ros.policy import node as vinn_policy

class Slow(vinn_policy.VinnPolicyNode):
    def configure(self):
        print("configuring", flush=True)
        time.sleep(60.0)

from vinn_ros.node.main import run_node
run_node(Slow)
"""


def holds_stop_signals(pid: int) -> bool:
    """Whether a process blocks SIGINT and SIGTERM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            mask = int(line.split()[1], 16)
            return all(mask >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM))
    return False


def ended(process: subprocess.Popen[str], began_s: float) -> tuple[int, str]:
    _, errors = process.communicate(timeout=60.0)
    assert time.monotonic() - began_s < 6 * LAUNCH_PATIENCE_S
    return process.returncode, errors


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("node", NODES)
def test_a_stop_while_a_node_loads_ends_it_cleanly(node: str, stop: signal.Signals) -> None:
    env = {**os.environ, **graph.environment("real"), "ROS_DOMAIN_ID": str(own_domain())}
    process = subprocess.Popen(
        [sys.executable, "-m", f"vinn_ros.nodes.{node}", "--ros-args", "-p", "autostart:=true"],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_s = time.monotonic() + 60.0
    while not holds_stop_signals(process.pid) and time.monotonic() < deadline_s:
        time.sleep(0.001)
    began_s = time.monotonic()
    process.send_signal(stop)
    code, errors = ended(process, began_s)
    assert "Traceback" not in errors
    # A camera without a source, say, may have been refused before it looked.
    assert code == 0 or (code == 2 and len(errors.splitlines()) == 1), errors


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_bring_up_ends_nodes_that_it_has_only_just_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: signal.Signals
) -> None:
    """Not even the interpreter is there yet."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(own_domain()))
    write_frames(tmp_path / "frames", 3)
    specs = [*camera_specs(tmp_path / "frames", loop=True), NodeSpec("views", "views")]
    lines: list[str] = []
    with BringUp(specs, environment(), lambda name, line: lines.append(line)) as nodes:
        for process in nodes.processes:
            os.kill(process.pid, stop)
        assert nodes.stop() == {"wrist_camera": 0, "views": 0}
    assert lines == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_configures_for_long_does_not_outlast_launch(stop: signal.Signals) -> None:
    env = {**os.environ, **graph.environment("real"), "ROS_DOMAIN_ID": str(own_domain())}
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "configuring"
    began_s = time.monotonic()
    process.send_signal(stop)
    code, errors = ended(process, began_s)
    assert (code, "Traceback" in errors) == (0, False), errors
