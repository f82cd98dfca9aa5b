"""The executor node over a fake `stretch_driver`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from executor_bench import Bench
from rclpy.parameter import Parameter
from ros_harness import Harness
from std_srvs.srv import Trigger
from stretch_driver import HAS_TRAJECTORY
from vinn_ros.conversions import from_vector3
from vinn_ros.node.calls import wait_for

from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.srv import MoveToStart

pytestmark = pytest.mark.ros


@pytest.fixture(
    params=[
        "streaming",
        pytest.param(
            "trajectory",
            marks=pytest.mark.skipif(not HAS_TRAJECTORY, reason="control_msgs is not installed"),
        ),
    ]
)
def bench(ros: Harness, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Over either way of commanding `stretch_driver`."""
    yield Bench(ros, tmp_path, request.param)


def test_a_step_moves_the_arm_and_fills_every_entry(bench: Bench) -> None:
    result = bench.step(1)
    assert (result.error_code, result.error_msg) == ("NONE", "")
    assert bench.robot.joints.position["wrist_extension"] == pytest.approx(0.23, abs=0.009)
    assert result.sent_base_delta.y == pytest.approx(-0.03, abs=1e-3)
    assert result.sent.arm_m == pytest.approx(0.23, abs=1e-3)
    targets = bench.robot.commands[-1].targets
    assert targets["wrist_extension"] == pytest.approx(0.23, abs=1e-3)
    assert targets["joint_lift"] == pytest.approx(0.6, abs=1e-3)
    assert targets["gripper_aperture"] == pytest.approx(0.064, abs=1e-3)
    if bench.driver == "streaming":
        # Every entry is filled: none is the zero of a forgotten one.
        *_, pan, tilt, _, translate, rotate = bench.robot.commands[-1].vector
        assert (pan, tilt) == pytest.approx((0.3, -0.4), abs=1e-3)
        assert (translate, rotate) == pytest.approx((0.0, 0.0), abs=1e-9)
    status = bench.ros.wait_for(
        lambda: next((s for s in bench.statuses if s.sent.arm_m > 0.22), None)
    )
    assert (status.session, status.sequence) == ("s1", 1)


def test_a_taken_step_is_told_with_its_prediction_and_where_the_hand_went(bench: Bench) -> None:
    """Camera z is forward along the gripper, here along the arm, pitched by the camera's tilt."""
    way_m = np.zeros(3)
    for count, sequence in enumerate((3, 4, 6), start=1):
        before_m = bench.robot.joints.position["wrist_extension"]
        result = bench.step(sequence, forward_m=0.02)
        assert result.error_code == "NONE"
        moved_m = bench.robot.joints.position["wrist_extension"] - before_m
        measured_m = from_vector3(result.measured_camera_delta)
        assert np.linalg.norm(measured_m) == pytest.approx(abs(moved_m), abs=0.004)
        assert from_vector3(result.sent_camera_delta)[2] == pytest.approx(0.02, abs=0.004)
        assert result.gripper_aperture_m == pytest.approx(0.064, abs=0.01)
        way_m = way_m + measured_m
        status = bench.ros.wait_for(
            lambda s=sequence: next((m for m in bench.statuses if m.taken_step == s), None)
        )
        assert (status.session, status.steps_taken) == ("s1", count)
        assert (from_vector3(status.measured_camera_delta) == measured_m).all()
        np.testing.assert_allclose(from_vector3(status.travelled_camera), way_m, atol=1e-12)
    # A refused step was not taken.
    assert bench.step(7, forward_m=np.nan).error_code == "INVALID_INPUT"
    heard = len(bench.statuses)
    status = bench.ros.wait_for(
        lambda: next((m for m in bench.statuses[heard:] if m.sequence == 7), None)
    )
    assert (status.taken_step, status.steps_taken) == (6, 3)
    assert (from_vector3(status.measured_camera_delta) == measured_m).all()


@pytest.mark.parametrize("allowed", [1, 2])
def test_the_supervisors_attempts_count_for_its_rollout(bench: Bench, allowed: int) -> None:
    bench.session, bench.attempts = "few", allowed
    bench.running()
    results = []
    for sequence in range(1, 40):
        closing = {"gripper_value": 3.0, "gripper_probabilities": [0.0, 0.0, 0.0, 1.0]}
        results.append(bench.step(sequence, forward_m=0.01 * (-1) ** sequence, **closing))
        if results[-1].error_code != "NONE":
            break
    assert results[-1].error_code == "NO_GRASP"
    assert f"allowed: {allowed}" in results[-1].error_msg
    assert sum(result.missed for result in results) == results[-1].attempt == allowed
    last = bench.ros.wait_for(
        lambda: next((m for m in bench.statuses if m.reason == "NO_GRASP"), None)
    )
    assert (last.attempt, last.attempts, last.missed) == (allowed, allowed, True)
    # It is no fault: the next rollout may begin, as configured.
    assert last.state == ExecutorStatus.IDLE
    bench.session, bench.attempts = "next", 0
    bench.running()
    assert bench.step(1).error_code == "NONE"
    status = bench.ros.wait_for(
        lambda: next((m for m in bench.statuses if m.session == "next"), None)
    )
    assert (status.attempt, status.attempts) == (0, 3)


def test_a_prediction_that_refuses_itself_is_not_executed(bench: Bench) -> None:
    for sequence, (said, code) in enumerate(
        {
            "NO_GRASP_POINT": "NO_GRASP_POINT",
            "SUCCESS": "INVALID_INPUT",
            "nonsense": "INVALID_INPUT",
        }.items(),
        start=1,
    ):
        assert bench.step(sequence, refusal=said).error_code == code
    assert bench.robot.commands == []


def test_the_next_session_begins_at_nothing(bench: Bench) -> None:
    assert bench.step(1).error_code == "NONE"
    bench.session = "s2"
    bench.running()
    assert bench.step(5, forward_m=-0.02).error_code == "NONE"
    for status in bench.statuses:
        if status.session == "s2":
            assert (status.taken_step, status.steps_taken) in ((0, 0), (5, 1))
    last = bench.ros.wait_for(lambda: next((m for m in bench.statuses if m.taken_step == 5), None))
    assert (last.travelled_camera == last.measured_camera_delta) or np.allclose(
        from_vector3(last.travelled_camera), from_vector3(last.measured_camera_delta)
    )


def test_joints_are_matched_by_name(bench: Bench) -> None:
    bench.robot.reverse = True
    assert bench.step(1).error_code == "NONE"
    assert bench.robot.joints.position["wrist_extension"] == pytest.approx(0.23, abs=0.009)
    assert bench.robot.joints.position["joint_lift"] == pytest.approx(0.6, abs=0.009)
    bench.robot.hidden = {"joint_wrist_roll"}
    bench.ros.wait_for(lambda: "joint_wrist_roll" not in bench.node._robot.driver._joints)
    sent = len(bench.robot.commands)
    result = bench.step(2)
    assert result.error_code in ("STATE_STALE", "LATCHED")
    assert "joint_wrist_roll" in result.error_msg or "STATE_STALE" in result.error_msg
    assert len(bench.robot.commands) == sent


def test_each_step_is_executed_once_and_in_order(bench: Bench) -> None:
    assert bench.step(5).error_code == "NONE"
    assert bench.step(5).error_code == "OUT_OF_ORDER"
    assert bench.step(4).error_code == "OUT_OF_ORDER"
    assert bench.step(6, session="another").error_code == "WRONG_SESSION"
    assert len(bench.robot.commands) == 1


def test_nothing_moves_without_a_lease(bench: Bench) -> None:
    bench.renewing = False
    bench.ros.wait_for(lambda: bench.node._lease.session == "")
    assert bench.step(1).error_code == "SUPERVISOR_LOST"
    assert bench.robot.commands == []


def test_a_lease_that_runs_out_holds_the_robot(bench: Bench) -> None:
    bench.robot.joints.stuck = {"all"}
    handle = bench.send(1)
    bench.ros.wait_for(lambda: bench.robot.commands)
    bench.renewing = False
    result = bench.result(handle)
    assert result.error_code == "SUPERVISOR_LOST"
    # The last command holds: the measured pose is the target.
    assert bench.robot.commands[-1].targets["wrist_extension"] == pytest.approx(0.2, abs=1e-3)
    assert "stop_the_robot" in [name for _, name in bench.robot.services_called]


def test_a_reset_ends_when_its_supervisor_falls_silent(bench: Bench) -> None:
    bench.between_rollouts(RolloutStatus.RESETTING)
    bench.robot.joints.stuck = {"all"}
    request = MoveToStart.Request()
    request.offset.y = 0.04
    with ThreadPoolExecutor(1) as pool:
        homing = pool.submit(bench.ros.call, MoveToStart, "executor/home", request, 60.0)
        bench.ros.wait_for(lambda: bench.robot.motions())
        bench.renewing = False
        answer = homing.result(60.0)
    assert (answer.success, answer.reason) == (False, "SUPERVISOR_LOST")
    assert bench.robot.commands[-1].hold
    # Nothing goes on by itself when it is heard again.
    sent = len(bench.robot.commands)
    bench.robot.joints.stuck = set()
    bench.renewing = True
    heard = len(bench.statuses)
    bench.ros.wait_for(lambda: len(bench.statuses) >= heard + 5)
    assert len(bench.robot.commands) == sent


def test_a_setting_changes_between_rollouts_and_a_reset_comes_first(bench: Bench) -> None:
    setting = Parameter("scale_forward", value=0.5)
    (refused,) = bench.node.set_parameters([setting])
    assert not refused.successful
    assert refused.reason.startswith("scale_forward: not during a rollout")
    bench.between_rollouts(RolloutStatus.READY)
    (taken,) = bench.node.set_parameters([setting])
    assert taken.successful, taken.reason
    bench.running()
    early = bench.step(1)
    assert early.error_code == "NOT_READY"
    assert early.error_msg.startswith("scale_forward changed: reset")
    assert bench.robot.commands == []
    bench.between_rollouts(RolloutStatus.RESETTING)
    assert bench.ros.call(MoveToStart, "executor/home", timeout_s=60.0).success
    bench.running()
    assert bench.step(2, forward_m=0.04).sent.arm_m == pytest.approx(0.22, abs=1e-3)


def test_stop_is_answered_and_obeyed_during_a_step(bench: Bench) -> None:
    bench.robot.joints.stuck = {"all"}
    handle = bench.send(1)
    bench.ros.wait_for(lambda: bench.robot.commands)
    asked_s = time.monotonic()
    assert bench.ros.call(Trigger, "executor/stop").success
    result = bench.result(handle)
    assert result.error_code == "OPERATOR_STOP"
    held = bench.robot.commands[-1]
    assert held.hold and held.steady_s >= asked_s
    assert held.targets["wrist_extension"] == pytest.approx(0.2, abs=1e-3)
    # The stop holds for the rest of the session.
    bench.robot.joints.stuck = set()
    assert bench.step(2).error_code == "OPERATOR_STOP"


def test_cancelling_a_step_holds_the_robot(bench: Bench) -> None:
    bench.robot.joints.stuck = {"all"}
    handle = bench.send(1)
    bench.ros.wait_for(lambda: bench.robot.commands)
    wait_for(handle.cancel_goal_async(), 5.0, "cancel")
    assert bench.result(handle).error_code == "OPERATOR_STOP"
    assert bench.robot.commands[-1].targets["wrist_extension"] == pytest.approx(0.2, abs=1e-3)


def test_a_second_motion_is_refused_while_one_runs(bench: Bench) -> None:
    bench.robot.joints.stuck = {"all"}
    handle = bench.send(1)
    bench.ros.wait_for(lambda: bench.robot.commands)
    assert bench.step(2).error_code == "BUSY"
    home = bench.ros.call(MoveToStart, "executor/home")
    assert (home.success, home.reason) == (False, "BUSY")
    assert bench.ros.call(Trigger, "executor/stop").success
    bench.result(handle)


def test_a_runstop_latches_until_it_is_cleared(bench: Bench) -> None:
    assert bench.step(1).error_code == "NONE"
    bench.robot.press_runstop()
    bench.ros.wait_for(lambda: bench.statuses[-1].state == ExecutorStatus.LATCHED)
    assert bench.statuses[-1].reason == "RUNSTOP"
    bench.robot.release_runstop()
    bench.ros.wait_for(lambda: bench.node._robot.driver._runstopped is False)
    sent = len(bench.robot.commands)
    assert bench.step(2).error_code == "LATCHED"
    assert len(bench.robot.commands) == sent
    assert "RUNSTOP" in bench.ros.call(Trigger, "executor/clear_latch").message
    assert bench.step(3).error_code == "NONE"


def test_a_robot_that_is_not_homed_does_not_move(bench: Bench) -> None:
    bench.robot.homed = False
    bench.ros.wait_for(lambda: bench.node._robot.driver._homed is False)
    assert bench.step(1).error_code == "NOT_HOMED"
    assert bench.robot.commands == []


def test_a_mode_that_someone_else_switches_ends_the_motion(bench: Bench) -> None:
    # Before the first step the executor switches the mode itself.
    assert bench.step(1).error_code == "NONE"
    bench.robot.mode = "navigation"
    bench.ros.wait_for(lambda: bench.node._robot.driver._mode == "navigation")
    sent = len(bench.robot.commands)
    assert bench.step(2).error_code == "WRONG_MODE"
    assert len(bench.robot.commands) == sent


def test_streaming_that_someone_else_switches_latches_and_clearing_switches_it_back(
    bench: Bench,
) -> None:
    assert bench.step(1).error_code == "NONE"
    wanted = bench.driver == "streaming"
    bench.robot.streaming = not wanted
    bench.ros.wait_for(lambda: bench.node._robot.driver._streaming is not wanted)
    sent = len(bench.robot.commands)
    result = bench.step(2)
    assert (result.error_code, "is_streaming_position" in result.error_msg) == ("ROBOT_ERROR", True)
    assert bench.step(3).error_code == "LATCHED"
    assert len(bench.robot.commands) == sent
    assert "ROBOT_ERROR" in bench.ros.call(Trigger, "executor/clear_latch").message
    assert bench.step(4).error_code == "NONE"
    assert bench.robot.streaming is wanted


def test_a_service_that_refuses_is_an_error(bench: Bench) -> None:
    service = {
        "streaming": "activate_streaming_position",
        "trajectory": "deactivate_streaming_position",
    }[bench.driver]
    bench.robot.refuse = {service}
    result = bench.step(1)
    assert result.error_code == "ROBOT_ERROR"
    assert service in result.error_msg
    assert bench.robot.commands == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e9])
def test_numbers_that_are_none_never_move_the_robot(bench: Bench, bad: float) -> None:
    assert bench.step(1, forward_m=bad).error_code == "INVALID_INPUT"
    assert bench.robot.commands == []


def test_an_old_image_moves_nothing(bench: Bench) -> None:
    assert bench.step(1, image_age_s=1.0).error_code == "STALE_INPUT"
    assert bench.robot.commands == []


def test_home_goes_to_the_displaced_start_pose(bench: Bench) -> None:
    bench.between_rollouts(RolloutStatus.RESETTING)
    request = MoveToStart.Request()
    request.offset.x, request.offset.y, request.offset.z = 0.02, 0.04, -0.05
    answer = bench.ros.call(MoveToStart, "executor/home", request)
    assert (answer.success, answer.message) == (True, "")
    # At wrist yaw 0: right is base -x, forward is the arm, up is the lift.
    assert bench.robot.joints.base_x_m == pytest.approx(-0.02, abs=0.007)
    assert bench.robot.joints.position["wrist_extension"] == pytest.approx(0.24, abs=0.009)
    assert bench.robot.joints.position["joint_lift"] == pytest.approx(0.55, abs=0.009)
    assert bench.robot.joints.position["gripper_aperture"] == pytest.approx(0.064, abs=0.006)
