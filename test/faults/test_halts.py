"""Rows 1-3, 6, 7, 9, 11, 15: whatever goes wrong in a rollout, the robot halts and says why."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from fault_camera import BAD_PICTURES, write_demonstrations, write_policy
from fault_measure import LIMITS, Measure, measuring
from fault_stack import Stack
from sensor_msgs.msg import CompressedImage
from vinn.demos.frames import read_frame
from vinn.policies.artefact import load_policy
from vinn.robot.config import load_robot_config
from vinn_ros.node import qos
from vinn_ros.paths import config_file

from vinn_msgs.msg import Prediction

pytestmark = [
    pytest.mark.alone,
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.crosses_processes(
        reason="three nodes run as processes against watchdogs, and a busy machine may stall one"
    ),
]


def test_row_01_camera_unplugged(stack: Stack) -> None:
    stack.run("camera unplugged")
    frames = stack.ros.listen(CompressedImage, "wrist_camera/image_raw/compressed", qos.RECORD)

    def unplug() -> None:
        stack.camera.plugged = False

    halt = stack.fault(unplug)
    measure = stack.report(1, halt, "CAMERA_STALE")
    assert halt.hold_s is not None
    frames_then = len(frames)
    tries = stack.camera.tried_s
    stack.ros.wait_for(lambda: len(tries) >= 4)
    assert len(frames) == frames_then
    # Ever more patient; a busy machine only makes the pauses longer.
    pauses_s = [after - before for before, after in itertools.pairwise(tries[1:4])]
    assert pauses_s[0] >= 0.49 and pauses_s[1] >= 0.99, pauses_s
    stack.camera.plugged = True
    stack.ros.wait_for(lambda: len(frames) > frames_then)
    measure.value("motions after the camera came back", stack.expect_no_motion(), "", "== 0")


def test_row_02_frozen_or_late_frames(stack: Stack) -> None:
    predictions = stack.ros.listen(Prediction, "policy/prediction", qos.RECORD)
    for mode, reason in (("frozen", "CAMERA_STALE"), ("old", "STALE_INPUT")):
        stack.run(mode)

        def freeze(mode: str = mode) -> None:
            stack.camera.mode = mode

        halt = stack.fault(freeze)
        measure = stack.report(2, halt, reason) if mode == "old" else Measure(2)
        assert halt.status.reason == reason, halt.status.message
        heard = len(predictions)
        moved = stack.expect_no_motion()
        measure.value(f"predictions from {mode} frames", len(predictions) - heard, "", "== 0")
        measure.value(f"motions from {mode} frames", moved, "", "== 0")
        stack.camera.mode = "good"
        stack.ros.wait_for(lambda heard=heard: len(predictions) > heard)


SPOILED = ["black", "blurred", *(["white", "saturated", "blank"] if measuring() else [])]


@pytest.mark.parametrize("mode", SPOILED)
def test_row_03_frames_that_show_nothing(stack: Stack, mode: str) -> None:
    stack.run(mode)

    def spoil() -> None:
        stack.camera.mode = mode

    halt = stack.fault(spoil)
    measure = stack.report(3, halt, "INVALID_IMAGE")
    assert "frame: " in halt.status.message
    measure.value(f"motions from {mode} frames", stack.expect_no_motion(6), "", "== 0")


def test_row_06_policy_killed(stack: Stack) -> None:
    stack.run("policy killed")
    halt = stack.fault(lambda: stack.kill("vinn_policy"))
    measure = stack.report(6, halt, "POLICY_LOST")
    assert halt.hold_s is not None
    stack.respawn("vinn_policy")
    measure.value("motions after the policy came back", stack.expect_no_motion(), "", "== 0")
    assert stack.start().reason == "NOT_READY"


def test_row_07_policy_hangs(stack: Stack) -> None:
    stack.run("policy hangs")
    halt = stack.fault(lambda: os.kill(stack.pid("vinn_policy"), signal.SIGSTOP))
    measure = stack.report(7, halt, "POLICY_LOST")
    # Awake again, it finishes what it had begun, too late, and goes on predicting.
    predictions = stack.ros.listen(Prediction, "policy/prediction", qos.RECORD)
    heard = len(predictions)
    os.kill(stack.pid("vinn_policy"), signal.SIGCONT)
    stack.ros.wait_for(lambda: len(predictions) > heard + 3)
    measure.value("motions after the policy woke", stack.expect_no_motion(), "", "== 0")


def test_row_09_supervisor_killed(stack: Stack) -> None:
    stack.run("supervisor killed")
    stack.wait_motion()
    fault_s = time.monotonic()
    stack.kill("rollout_supervisor")

    def lost() -> bool:
        return any(
            at_s > fault_s and status.reason == "SUPERVISOR_LOST"
            for at_s, status in list(stack.executor_statuses)
        )

    stack.ros.wait_for(lost)
    hold_s = stack.hold_after(fault_s)
    assert hold_s is not None
    measure = Measure(9)
    halt_s = max(hold_s, stack.driver.last_motion_s - fault_s)
    measure.time("halt (SUPERVISOR_LOST)", halt_s, "halt_s")
    named_s = stack.named_after(fault_s, "SUPERVISOR_LOST")
    measure.time("SUPERVISOR_LOST named after the halt", named_s - halt_s, "named_s")
    moved = stack.expect_no_motion()
    stack.respawn("rollout_supervisor")
    moved += stack.expect_no_motion()
    measure.value("motions until and after it came back", moved, "", "== 0")


def test_row_11_runstop(stack: Stack) -> None:
    stack.run("runstop")
    halt = stack.fault(stack.driver.press_runstop)
    measure = stack.report(11, halt, "RUNSTOP", "runstop_halt_s")
    stack.driver.release_runstop()
    measure.value("motions after its release", stack.expect_no_motion(), "", "== 0")
    stack.wait_latched()
    refused = stack.reset()
    assert not refused.success
    assert "LATCHED" in refused.message
    stack.clear()

    # Silence of the joint states counts the same.
    stack.run("silence")

    def fall_silent() -> None:
        stack.driver.silent = True

    halt = stack.fault(fall_silent)
    assert halt.status.reason == "STATE_STALE"
    measure.time("halt (silent joint states)", halt.halt_s, "halt_s")
    stack.driver.silent = False
    measure.value("motions after the silence", stack.expect_no_motion(), "", "== 0")
    stack.clear()


def test_row_15_a_view_unlike_every_demonstration(stack: Stack) -> None:
    stack.run("novel", pace=1.0)

    shown: list[float] = []

    def show() -> None:
        shown.append(time.monotonic())
        stack.camera.mode = "strange"

    halt = stack.fault(show)
    (shown_s,) = shown
    assert halt.status.reason == "NOVEL", halt.status.message
    assert "novelty" in halt.status.message
    held_s = next(
        at_s - shown_s
        for at_s, status in stack.executor_statuses
        if at_s > shown_s and status.reason == "NOVEL"
    )
    measure = Measure(15)
    # The frame before the fault may still have been on its way.
    measure.time("last motion after the view changed", halt.last_motion_s, "halt_s")
    measure.time("halted and named after the first held step", halt.named_s - held_s, "halt_s")
    measure.value("motions after it", stack.expect_no_motion(6), "", "== 0")


def test_row_15_false_halts_on_held_out_demonstrations(tmp_path: Path) -> None:
    policy = load_policy(write_policy(tmp_path))
    held_out = write_demonstrations(tmp_path / "held_out", count=40, seed=1)
    frames = [path for d in held_out.demonstrations for path in d.frame_paths]
    limit = load_robot_config(config_file("robot/stretch.yaml", "robot")).motion.novelty_limit
    novel = sum(policy.predict(read_frame(path)).novelty > limit for path in frames)
    share = novel / len(frames)
    measure = Measure(15)
    measure.value("false halts on held-out frames", share, "", f"<= {LIMITS['false_halts']}")
    rng = np.random.default_rng(0)
    strange = [policy.predict(BAD_PICTURES["strange"](rng)).novelty > limit for _ in range(20)]
    measure.value("strange views noticed", sum(strange), "of 20", "== 20")
