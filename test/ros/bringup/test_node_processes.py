"""Nodes as processes of their own: what they refuse, and how they end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from camera_process import camera_specs, environment, write_frames
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from ros_domain import own_domain
from ros_harness import Harness
from sensor_msgs.msg import CompressedImage
from vinn_ros.bringup import graph
from vinn_ros.bringup.graph import NodeSpec
from vinn_ros.bringup.processes import BringUp, BringUpError
from vinn_ros.conversions import decompress, to_nanoseconds
from vinn_ros.node import qos
from vinn_ros.paths import config_directory

pytestmark = pytest.mark.ros
CROSSES_PROCESSES = pytest.mark.crosses_processes(
    reason="a node has to start as a process and to be found in time"
)

FILES = ["--params-file", str(config_directory() / "door_opening.yaml")]
SIM_FILES = [*FILES, "--params-file", str(config_directory() / "door_opening_sim.yaml")]


def run_node(node: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **graph.environment("sim"), "ROS_DOMAIN_ID": str(own_domain())}
    return subprocess.run(
        [sys.executable, "-m", f"vinn_ros.nodes.{node}", "--ros-args", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("node", "arguments", "named"),
    [
        ("wrist_camera", ["-p", "source:=/dev/v4l/by-id/none"], "/dev/v4l/by-id/none"),
        ("wrist_camera", ["-p", "rate_hz:=-1.0"], "rate_hz: -1.0; allowed: 0.1..240 Hz"),
        ("vinn_policy", ["-p", "policy:=/none"], "/none: no such policy artefact"),
        ("vinn_policy", ["-p", "threads:=two"], "threads: 'two' is no integer"),
        ("vinn_policy", ["-p", "image_transport:=theora"], "allowed: compressed, raw"),
        ("stretch_executor", ["-p", "robot_config:=none.yaml"], "none.yaml: no such file"),
        ("stretch_executor", ["-p", "lease:=0.5"], "unknown parameter lease; known: "),
        ("rollout_supervisor", ["-p", "success:=hope"], "success: 'hope'; allowed: opened"),
        ("stretch_sim", [*SIM_FILES[2:], "-p", "cabinet:=ebony"], "cabinet 'ebony'"),
        ("bag_player", ["-p", "bag:=/none"], "bag: /none: no such recording"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(node: str, arguments: list[str], named: str) -> None:
    done = run_node(node, *arguments)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"{node}: ")
    assert named in line


@CROSSES_PROCESSES
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_camera_publishes_each_frame_once_and_ends_cleanly(
    ros: Harness, tmp_path: Path, stop: signal.Signals
) -> None:
    write_frames(tmp_path / "frames", 20)
    frames = ros.listen(CompressedImage, "wrist_camera/image_raw/compressed", qos.RECORD)
    # It waits to be activated, so that no frame is published before the test listens.
    with BringUp(camera_specs(tmp_path / "frames", autostart=False), environment()) as nodes:
        for transition in (1, 3):  # configure, activate
            request = ChangeState.Request()
            request.transition.id = transition
            assert ros.call(ChangeState, "wrist_camera/change_state", request, 30.0).success
            if transition == 1:
                ros.wait_for(
                    lambda: ros.node.count_publishers("wrist_camera/image_raw/compressed") == 1
                )
        ros.wait_for(lambda: len(frames) >= 10)
        (process,) = nodes.processes
        os.kill(process.pid, stop)
        ros.wait_for(lambda: process.exit_code is not None)
        assert process.exit_code == 0
        nodes.processes = []
    stamps = [to_nanoseconds(frame.header.stamp) for frame in frames]
    assert stamps == sorted(set(stamps))
    contents = [frame.data.tobytes() for frame in frames]
    assert len(set(contents)) == len(contents)
    assert decompress(frames[0], 4096).shape == (24, 32, 3)


@CROSSES_PROCESSES
def test_parameters_are_refused_at_run_time_by_range(ros: Harness, tmp_path: Path) -> None:
    specs = [NodeSpec("vinn_policy", "vinn_policy", (), {})]

    def set_value(name: str, value: ParameterValue) -> str:
        request = SetParameters.Request(parameters=[ParameterMsg(name=name, value=value)])
        (result,) = ros.call(SetParameters, "vinn_policy/set_parameters", request).results
        return "" if result.successful else result.reason

    def rate() -> float:
        request = GetParameters.Request(names=["mosaic_rate_hz"])
        return ros.call(GetParameters, "vinn_policy/get_parameters", request).values[0].double_value

    def double(value: float) -> ParameterValue:
        return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)

    with BringUp(specs, environment()) as nodes:
        assert nodes.wait_active(60.0)
        assert set_value("mosaic_rate_hz", double(2.0)) == ""
        assert rate() == 2.0
        for value in (-1.0, 1e6, float("nan")):
            reason = set_value("mosaic_rate_hz", double(value))
            assert "mosaic_rate_hz" in reason
        text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="fast")
        assert "mosaic_rate_hz" in set_value("mosaic_rate_hz", text)
        assert "threads" in set_value(
            "threads", ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=2)
        )
        assert rate() == 2.0


@CROSSES_PROCESSES
def test_a_bring_up_names_the_node_that_refused(ros: Harness, tmp_path: Path) -> None:
    specs = camera_specs(tmp_path / "none")
    with BringUp(specs, environment()) as nodes, pytest.raises(BringUpError) as refused:
        nodes.wait_active(60.0)
    assert refused.value.exit_code == 2
    assert "wrist_camera" in str(refused.value)
    assert "no such camera, file or folder" in str(refused.value)


def shared_memory_of(pid: int) -> set[str]:
    """Fast DDS's files in /dev/shm that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    return set(re.findall(r"/dev/shm/fastdds_[0-9a-f]{16}\b", maps))


def test_a_node_that_ends_leaves_no_shared_memory(tmp_path: Path) -> None:
    """Alone in its domain: it maps the segments of others, too."""
    write_frames(tmp_path / "frames", 3)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vinn_ros.nodes.wrist_camera", "--ros-args"),
            *("-p", f"source:={tmp_path / 'frames'}"),
        ],
        env={**os.environ, **graph.environment("sim"), "ROS_DOMAIN_ID": str(own_domain())},
    )
    used: set[str] = set()
    deadline_s = time.monotonic() + 60.0
    while not used and process.poll() is None and time.monotonic() < deadline_s:
        used = shared_memory_of(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30.0) == 0
    assert used, "the profile with shared memory is in use"
    assert [path for path in used if Path(path).exists()] == []


@CROSSES_PROCESSES
def test_a_bring_up_notices_a_node_that_was_killed(ros: Harness, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", 3)
    with BringUp(camera_specs(tmp_path / "frames", loop=True), environment()) as nodes:
        assert nodes.wait_active(60.0)
        nodes.check()
        os.kill(nodes.processes[0].pid, signal.SIGKILL)
        ros.wait_for(lambda: nodes.processes[0].exit_code is not None)
        with pytest.raises(BringUpError, match="exit code -9"):
            nodes.check()


@CROSSES_PROCESSES
def test_nodes_go_when_their_bring_up_is_killed(ros: Harness, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", 3)
    code = (
        "import sys, time\n"
        "from vinn_ros.bringup.graph import NodeSpec\n"
        "from vinn_ros.bringup.processes import BringUp\n"
        "spec = NodeSpec('wrist_camera', 'wrist_camera', (),"
        f" {{'source': {str(tmp_path / 'frames')!r}, 'loop': True}})\n"
        "with BringUp([spec], {}) as nodes:\n"
        "    nodes.wait_active(60.0)\n"
        "    print(nodes.processes[0].pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    answer = ros.call(GetState, "wrist_camera/get_state")
    assert answer.current_state.id == State.PRIMARY_STATE_ACTIVE
    parent.kill()
    parent.wait(10.0)
    ros.wait_for(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    """Ended, but nobody has collected it (there may be no init process in a container)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
