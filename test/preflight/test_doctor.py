"""`vinn doctor` against a fake robot: what it says, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vinn.cli.doctor import local_checks
from vinn.robot.checks.preflight import Verdict

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from stretch_driver import FakeStretchDriver
from vinn_ros.conversions import compress
from vinn_ros.node import qos
from vinn_ros.supervisor.node import RolloutSupervisorNode

from vinn_msgs.msg import Prediction

pytestmark = pytest.mark.ros
CROSSES_PROCESSES = pytest.mark.crosses_processes(
    reason="the doctor finds the nodes here within the seconds that it listens, or not"
)


# Where what a busy machine does to streams is not what is tested.
PATIENT = (
    "max_state_age_s: 30, max_camera_age_s: 30, min_camera_rate_hz: 0, max_clock_difference_s: 30"
)


class Seeing(Node):
    """A camera and a policy."""

    def __init__(self) -> None:
        super().__init__("seeing", use_global_arguments=False)
        self.skew_s = 0
        self._image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        from sensor_msgs.msg import CompressedImage

        self._frames = self.create_publisher(
            CompressedImage, "wrist_camera/image_raw/compressed", qos.STREAM
        )
        self._predictions = self.create_publisher(Prediction, "policy/prediction", qos.NEWEST)
        self.create_timer(0.05, self._publish)

    def _publish(self) -> None:
        stamp = self.get_clock().now().to_msg()
        stamp.sec += self.skew_s
        self._frames.publish(compress(self._image, stamp, "wrist_camera_optical_frame"))
        self._predictions.publish(Prediction(policy="vinn@0123456789ab"))


class SlowSupervisor(Node):
    """One that needs a while for its answer, as on a busy machine or over a lossy network."""

    def __init__(self, config: Path, answers_after_s: float) -> None:
        super().__init__(
            "rollout_supervisor", use_global_arguments=False, start_parameter_services=False
        )
        self._config, self._answers_after_s = config, answers_after_s
        self.closing = threading.Event()
        self.create_service(GetParameters, "rollout_supervisor/get_parameters", self._answer)

    def _answer(
        self, request: GetParameters.Request, response: GetParameters.Response
    ) -> GetParameters.Response:
        self.closing.wait(self._answers_after_s)
        values = {"rollout_config": str(self._config)}
        response.values = [
            ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=values.get(name, ""))
            for name in request.names
        ]
        return response


def doctor(*arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "vinn_ros.doctor", "--json", "--listen", "3", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        env=os.environ,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)}


def patient(directory: Path) -> tuple[str, str]:
    """Options that name a supervisor's file which forgives a busy machine."""
    config = directory / "patient.yaml"
    config.write_text(f"preflight: {{{PATIENT}}}\n")
    return "--rollout-config", str(config)


@CROSSES_PROCESSES
def test_a_system_that_is_well(ros: Any, tmp_path: Path) -> None:
    ros.add(FakeStretchDriver())
    ros.add(Seeing())
    code, checks = doctor("--recordings", str(tmp_path), *patient(tmp_path))
    failed = {name: check for name, check in checks.items() if check["verdict"] == "failed"}
    # The fake robot stamps its topics as the real one does, from another thread: no difference.
    assert not failed
    assert code == 0
    for name in ("joint states", "homed", "runstop", "battery", "tool", "camera", "policy"):
        assert checks[name]["verdict"] == "ok", checks[name]
    assert checks["limits"]["verdict"] == "ok"


@CROSSES_PROCESSES
def test_everything_that_is_wrong_is_named_at_once(ros: Any, tmp_path: Path) -> None:
    robot = ros.add(FakeStretchDriver())
    robot.battery_v, robot.homed, robot.tool_name = 9.5, False, "tool_none"
    seeing = ros.add(Seeing())
    seeing.skew_s = 3600
    code, checks = doctor("--recordings", str(tmp_path), *patient(tmp_path))
    assert code == 1
    found = {name: check["reason"] for name, check in checks.items() if check["reason"] != "NONE"}
    assert found == {
        "battery": "LOW_BATTERY",
        "homed": "NOT_HOMED",
        "tool": "WRONG_TOOL",
        "clock of the camera": "CLOCK_DIFFERENCE",
    }


@CROSSES_PROCESSES
def test_the_running_supervisors_settings_are_taken_over(ros: Any, tmp_path: Path) -> None:
    ros.add(FakeStretchDriver()).battery_v = 11.5
    ros.add(Seeing())
    strict = tmp_path / "strict.yaml"
    strict.write_text(f"preflight: {{{PATIENT}, min_battery_v: 12.0}}\n")
    ros.add(
        RolloutSupervisorNode(
            ["--ros-args", *("-p", f"rollout_config:={strict}"), *("-p", f"recordings:={tmp_path}")]
        )
    )
    code, checks = doctor()
    assert code == 1
    assert checks["battery"]["message"] == "11.5 V; allowed: at least 12 V: charge it"


@CROSSES_PROCESSES
def test_so_are_those_of_a_supervisor_that_answers_late(ros: Any, tmp_path: Path) -> None:
    ros.add(FakeStretchDriver()).battery_v = 11.5
    ros.add(Seeing())
    strict = tmp_path / "strict.yaml"
    strict.write_text(f"preflight: {{{PATIENT}, min_battery_v: 12.0}}\n")
    # Later than half of what is listened; DDS may take 3 s before that.
    ros.add(SlowSupervisor(strict, answers_after_s=2.5))
    code, checks = doctor()
    assert code == 1
    assert checks["supervisor"]["verdict"] == "ok"
    assert checks["battery"]["message"] == "11.5 V; allowed: at least 12 V: charge it"


@CROSSES_PROCESSES
def test_nothing_is_well_where_the_supervisor_does_not_answer(ros: Any, tmp_path: Path) -> None:
    ros.add(FakeStretchDriver())
    ros.add(Seeing())
    silent = ros.add(SlowSupervisor(tmp_path / "none.yaml", answers_after_s=60.0))
    try:
        code, checks = doctor(*patient(tmp_path))
    finally:
        silent.closing.set()
    assert code == 1
    assert {name for name, check in checks.items() if check["verdict"] == "failed"} == {
        "supervisor"
    }
    assert checks["supervisor"]["reason"] == "NOT_READY"
    assert "rollout_supervisor/get_parameters: no answer" in checks["supervisor"]["message"]


def test_a_robot_that_is_not_there(ros: Any, tmp_path: Path) -> None:
    code, checks = doctor("--recordings", str(tmp_path))
    assert code == 1
    assert checks["robot"]["reason"] == "STATE_STALE"
    assert "ROS_DOMAIN_ID" in checks["robot"]["message"]
    assert checks["camera"]["reason"] == "CAMERA_STALE"
    # Whose thresholds these are is said.
    assert checks["supervisor"]["verdict"] == "unknown"
    assert checks["supervisor"]["message"].endswith("the robot's files count")


def test_a_policy_artefact_is_checked_without_a_node(tmp_path: Path) -> None:
    checks = {check.name: check for check in local_checks(tmp_path / "none")}
    assert checks["artefact"].verdict is Verdict.FAILED
    assert "none" in checks["artefact"].message


def test_vinn_doctor_hands_its_options_on() -> None:
    vinn = Path(sys.executable).with_name("vinn")
    done = subprocess.run(
        [str(vinn), "doctor", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "--robot-config" in done.stdout
