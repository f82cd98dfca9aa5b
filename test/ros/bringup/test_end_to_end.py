"""The whole system: separate processes, real physics, a real policy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from ros_harness import Harness
from std_srvs.srv import Trigger
from vinn.rollout.reader import read_recording, summarize_recording
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUp
from vinn_ros.paths import config_directory

from vinn_msgs.msg import RolloutStatus, SceneStatus
from vinn_msgs.srv import StartRollout

pytestmark = [
    pytest.mark.ros,
    pytest.mark.physics,
    pytest.mark.slow,
    pytest.mark.crosses_processes(
        reason="all nodes run as processes and have to start and find each other in time"
    ),
]

START_TIMEOUT_S = 120.0
ROLLOUT_TIMEOUT_S = 180.0


@contextmanager
def running_system(policy: Path, directory: Path, *settings: str) -> Iterator[BringUp]:
    specs = graph.door_opening("sim", str(policy), recordings=str(directory / "recordings"))
    env = {**graph.environment("sim"), "ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
    lines: list[str] = []
    specs = graph.with_settings(specs, settings)
    with BringUp(specs, env, lambda name, line: lines.append(f"{name}: {line}")) as nodes:
        assert nodes.wait_active(START_TIMEOUT_S), "\n".join(lines)
        yield nodes
        assert set(nodes.stop().values()) == {0}, "\n".join(lines)


def roll_out(ros: Harness, name: str, max_steps: int = 0) -> RolloutStatus:
    """Reset, start, and wait for the end, as an operator would."""
    statuses = ros.listen(RolloutStatus, "supervisor/status")
    reset = ros.call(Trigger, "supervisor/reset", timeout_s=ROLLOUT_TIMEOUT_S)
    assert reset.success, reset.message
    request = StartRollout.Request(name=name, max_steps=max_steps)
    started = ros.call(StartRollout, "supervisor/start_rollout", request)
    assert started.accepted, started.message

    def end() -> RolloutStatus | None:
        if not statuses:
            return None
        newest = statuses[-1]
        ended = newest.session == started.session and newest.state == RolloutStatus.ENDED
        return newest if ended else None

    return ros.wait_for(end, ROLLOUT_TIMEOUT_S)


def test_separate_processes_open_the_door(ros: Harness, door_policy: Path, tmp_path: Path) -> None:
    scenes = ros.listen(SceneStatus, "scene/status")
    with running_system(door_policy, tmp_path) as nodes:
        assert len({process.pid for process in nodes.processes}) == 4
        ends = []
        for _ in range(3):
            ends.append(roll_out(ros, "oak"))
            if ends[-1].outcome == RolloutStatus.SUCCESS:
                break
    status = ends[-1]
    assert status.outcome == RolloutStatus.SUCCESS, [(end.reason, end.step) for end in ends]
    assert status.reason == "SUCCESS"
    assert scenes[-1].opened
    assert scenes[-1].grasped
    assert scenes[-1].door_angle_rad > 0.5
    summary = summarize_recording(status.recording)
    assert summary.outcome is not None
    assert summary.outcome["opened"] == "true"
    for topic in ("/wrist_camera/image_raw/compressed", "/policy/prediction", "/executor/status"):
        assert summary.message_counts[topic] >= status.step
    predictions = [
        entry.message for entry in read_recording(status.recording, topics=["/policy/prediction"])
    ]
    assert all(len(prediction.neighbors) == 5 for prediction in predictions)
    sequences = [prediction.sequence for prediction in predictions]
    assert sequences == sorted(set(sequences))


def test_a_gripper_that_never_closes_leaves_the_door_shut(
    ros: Harness, door_policy: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load((config_directory() / "robot" / "stretch_sim_unpaced.yaml").read_text())
    profiles = yaml.safe_load((config_directory() / "robot" / "tools.yaml").read_text())
    open_m = profiles[config["tool"]]["gripper_open_aperture_m"]
    config["tool"] = {**profiles[config["tool"]], "gripper_closed_aperture_m": open_m - 0.001}
    path = tmp_path / "never_closes.yaml"
    path.write_text(yaml.safe_dump(config))
    scenes = ros.listen(SceneStatus, "scene/status")
    with running_system(door_policy, tmp_path, f"stretch_executor.robot_config={path}"):
        status = roll_out(ros, "never closes", max_steps=25)
    assert status.outcome == RolloutStatus.FAILURE
    assert status.reason != "SUCCESS"
    assert status.step >= 3
    assert not any(scene.opened or scene.grasped for scene in scenes)
    assert max(scene.door_angle_rad for scene in scenes) < 0.1


def test_one_process_does_the_same_and_ends_cleanly(
    ros: Harness, door_policy: Path, tmp_path: Path
) -> None:
    env = {**os.environ, **graph.environment("sim")}
    command = [
        *(sys.executable, "-m", "vinn_ros.bringup.command", "--single-process"),
        *("--policy", str(door_policy), "--recordings", str(tmp_path / "recordings")),
    ]
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        statuses = ros.listen(RolloutStatus, "supervisor/status")
        ros.wait_for(lambda: statuses or process.poll() is not None, START_TIMEOUT_S)
        assert process.poll() is None, process.communicate()[0]
        status = roll_out(ros, "one process", max_steps=3)
        assert status.step >= 1
        assert status.reason in ("STEP_LIMIT", "SUCCESS")
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=30.0)
    assert process.returncode == 0, output


def test_the_operator_command_drives_the_system(
    ros: Harness, door_policy: Path, tmp_path: Path
) -> None:
    def operator(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vinn_ros.operator", *arguments],
            env={**os.environ, **graph.environment("sim")},
            capture_output=True,
            text=True,
            timeout=ROLLOUT_TIMEOUT_S,
            check=False,
        )

    nobody = operator("status", "--timeout", "0.5")
    assert nobody.returncode == 3
    assert "supervisor/status" in nobody.stderr
    with running_system(door_policy, tmp_path):
        refused = operator("start")
        assert refused.returncode == 1
        assert refused.stderr.startswith("NOT_READY")
        assert operator("reset").returncode == 0
        assert operator("status").stdout.startswith("READY")
        ended = operator("start", "--max-steps", "2", "--name", "two steps", "--wait")
        assert ended.returncode == 4, ended.stderr
        assert "STEP_LIMIT" in ended.stdout
        assert operator("label", "failure", "--note", "two steps are too few").returncode == 0
        assert operator("label", "maybe").returncode == 2
        bad = operator("load-policy", str(tmp_path / "none"))
        assert bad.returncode == 1
        assert "no such policy artefact" in bad.stderr
        assert operator("load-policy", str(door_policy)).stdout.startswith("door@")
