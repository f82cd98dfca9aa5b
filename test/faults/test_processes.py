"""Rows 18 and 29: Ctrl-C, SIGTERM and a stop in a rollout; bring-ups and shut-downs in a row."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import stretch_joints as sj
from fault_camera import picture, write_policy
from fault_measure import Measure, measuring
from fault_settings import SETTINGS, patient_settings
from fault_stack import SLOW
from ros_domain import own_domain
from ros_harness import Harness, ros_context
from std_srvs.srv import Trigger
from stretch_driver import FakeStretchDriver
from vinn.rollout.reader import summarize_recording
from vinn_ros.bringup import graph

from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import StartRollout

pytestmark = [pytest.mark.alone, pytest.mark.ros, pytest.mark.slow]
CROSSES_PROCESSES = pytest.mark.crosses_processes(
    reason="the nodes of a bring-up have to start and find each other in time"
)

START_TIMEOUT_S = 120.0
BRING_UPS, BRING_UPS_MEASURED = 3, 100
NOISE = ("Traceback", "InvalidHandle", "Destroyable", "terminate called", "Segmentation")


@pytest.fixture
def ros() -> Iterator[Harness]:
    with ros_context() as harness:
        yield harness


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the camera node shows again and again: to the right, to the left, ..."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(18)
    for index in range(300):
        image = picture(rng, 1 if index // 15 % 2 else -1)
        cv2.imwrite(str(folder / f"{index:04d}.png"), image[:, :, ::-1])
    return folder


def bring_up(policy: Path, pictures: Path, directory: Path) -> list[str]:
    """The command line of a bring-up around a folder of pictures."""
    settings = [
        *SETTINGS,
        *patient_settings(directory),
        f"wrist_camera.source={pictures}",
        "wrist_camera.loop=true",
    ]
    return [
        *(sys.executable, "-m", "vinn_ros.bringup.command"),
        *("--robot", "real", "--timeout-s", "120"),
        *("--policy", str(policy), "--recordings", str(directory / "recordings")),
        *[f"--set={setting}" for setting in settings],
    ]


@CROSSES_PROCESSES
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_row_18_ctrl_c_in_a_rollout(
    ros: Harness, policy: Path, pictures: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    driver = ros.add(FakeStretchDriver())
    driver.joints.position[sj.YAW] = driver.joints.target[sj.YAW] = 1.53
    driver.joints.pace = 6.0
    statuses = ros.listen(RolloutStatus, "supervisor/status")
    process = subprocess.Popen(
        bring_up(policy, pictures, tmp_path),
        env={**os.environ, **graph.environment("real")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        ros.wait_for(lambda: statuses or process.poll() is not None, START_TIMEOUT_S)
        assert process.poll() is None, process.communicate()[0]
        session = start_rollout(ros, driver, statuses)
        before_s = driver.last_motion_s
        ros.wait_for(
            lambda: driver.last_motion_s > before_s or statuses[-1].state == RolloutStatus.ENDED,
            30.0,
        )
        assert driver.last_motion_s > before_s, f"{statuses[-1].reason}: {statuses[-1].message}"
        asked_s = time.monotonic()
        process.send_signal(stop)
        output, _ = process.communicate(timeout=60.0)
        ended_s = time.monotonic() - asked_s

        def holds() -> list[float]:
            commands = list(driver.commands)
            return [c.steady_s - asked_s for c in commands if c.hold and c.steady_s > asked_s]

        # The driver may take the last command after its sender has gone.
        hold_s = ros.wait_for(holds)[0]
    finally:
        driver.take_down()
        process.kill()
    assert process.returncode == 0, output
    assert not any(word in output for word in NOISE), output
    measure = Measure(18)
    measure.time(f"{stop.name}: hold", max(hold_s, driver.last_motion_s - asked_s), "stop_hold_s")
    measure.time(f"{stop.name}: exit code 0", ended_s, "exit_s")
    (recording,) = (tmp_path / "recordings").glob("*.mcap")
    summary = summarize_recording(recording)
    assert summary.info["session"] == session
    assert summary.outcome is not None
    assert summary.outcome["reason"] == "OPERATOR_STOP"


def start_rollout(ros: Harness, driver: FakeStretchDriver, statuses: list[RolloutStatus]) -> str:
    """As an operator would, patient with nodes that have just come up."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        reset = ros.call(Trigger, "supervisor/reset", timeout_s=60.0)
        if not reset.success:
            ros.call(Trigger, "executor/clear_latch")
            continue
        driver.joints.pace = SLOW
        request = StartRollout.Request(max_steps=1000)
        answer = ros.call(StartRollout, "supervisor/start_rollout", request)
        if answer.accepted:
            return str(answer.session)
    raise AssertionError(f"no rollout: {statuses[-1].reason}: {statuses[-1].message}")


@CROSSES_PROCESSES
def test_row_29_bring_ups_in_a_row(policy: Path, pictures: Path, tmp_path: Path) -> None:
    count = BRING_UPS_MEASURED if measuring() else BRING_UPS
    clean, up_s, down_s, troubles = 0, [], [], []
    for _ in range(count):
        environment = {
            **os.environ,
            **graph.environment("real"),
            "ROS_DOMAIN_ID": str(own_domain()),
        }
        began_s = time.monotonic()
        process = subprocess.Popen(
            bring_up(policy, pictures, tmp_path),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if line.startswith("[bringup") and "] active: " in line:
                break
        up_s.append(time.monotonic() - began_s)
        began_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        output += process.communicate(timeout=60.0)[0]
        down_s.append(time.monotonic() - began_s)
        noisy = [line for line in output.splitlines() if any(word in line for word in NOISE)]
        good = process.returncode == 0 and not noisy and "killed" not in output
        clean += good
        if not good:
            troubles.append(f"exit code {process.returncode}: {noisy or output[-300:]}")
            print(f"unclean: {troubles[-1]}", flush=True)
        if measuring():
            print(f"{len(up_s)} of {count}: {clean} clean, {up_s[-1]:.1f} s up", flush=True)
    measure = Measure(29)
    measure.value("clean bring-ups and shut-downs", clean, f"of {count}", f"== {count}")
    measure.value("bring-up, median", float(np.median(up_s)), "s", None)
    measure.time("slowest shut-down", max(down_s), "exit_s")
    assert not troubles, troubles


def test_a_process_that_was_suspended_goes_on() -> None:
    """CPython's sigtimedwait gives an empty record after SIGCONT: nodes took it for a request."""
    code = (
        "from vinn_ros.node.signals import StopSignals\n"
        "with StopSignals() as signals:\n"
        "    print('ready', flush=True)\n"
        "    print('ended' if any(signals.wait(0.2) for _ in range(10)) else 'went on')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.6)  # what is tested: longer than the wait
    os.kill(process.pid, signal.SIGCONT)
    assert process.communicate(timeout=60.0)[0].strip() == "went on"
