"""Steps to completion and every way a step may end, on a kinematic fake."""

import dataclasses
import itertools

import numpy as np
import pytest
from fake_stretch import FakeStretch, a_state
from vinn.robot.config import (
    CameraMount,
    ExecutorConfig,
    GripperConfig,
    RobotConfig,
    StartPose,
)
from vinn.robot.executor import StepExecutor
from vinn.robot.gripper_config import StallRule
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import ReasonCode, StepRequest

FORWARD, BACK = (0.0, 0.0, 0.04), (0.0, 0.0, -0.04)


def an_executor(robot, executor=None, **config):
    settings = RobotConfig(camera=CameraMount(tilt_rad=0.0), **config)
    step_executor = StepExecutor(
        robot, MotionFilter(settings, robot.limits()), executor or ExecutorConfig()
    )
    step_executor.begin_session("s")
    return step_executor


def request(sequence, delta=(0.0, 0.0, 0.0), value=0.0, session="s", **changes):
    return StepRequest(
        session=session,
        sequence=sequence,
        camera_delta=np.asarray(delta, dtype=np.float64),
        gripper_value=value,
        gripper_probabilities=np.array([1.0, 0.0, 0.0, 0.0]),
        **changes,
    )


@pytest.mark.parametrize("delta", [FORWARD, (0.03, 0, 0), (0, 0.03, 0), (0.02, -0.02, 0.02)])
def test_a_step_returns_after_arrival_and_at_rest(delta):
    robot = FakeStretch()
    before = robot.current
    result = an_executor(robot).execute(request(1, delta))
    assert (result.reason, result.message) == (ReasonCode.NONE, "")
    after = robot.current
    moved = [
        after.base_x_m - before.base_x_m,
        before.arm_m - after.arm_m,
        after.lift_m - before.lift_m,
    ]
    assert np.allclose(moved, result.sent_base_delta_m, atol=0.006)
    assert np.allclose(result.sent_base_delta_m, result.requested_base_delta_m)
    robot.wait(0.1)
    assert robot.current.arm_m == pytest.approx(after.arm_m, abs=1e-3)
    assert len(robot.commands) == 1 and robot.holds == 0


def test_every_command_fills_every_joint_from_the_measured_pose():
    robot = FakeStretch(current=a_state(wrist_yaw_rad=1.53, wrist_pitch_rad=-0.2, lift_m=0.8))
    result = an_executor(robot).execute(request(1, FORWARD))
    assert result.sent.wrist_yaw_rad == pytest.approx(1.53)
    assert result.sent.wrist_pitch_rad == pytest.approx(-0.2)
    assert result.sent.gripper_aperture_m == pytest.approx(0.064)


def test_closing_without_translation_waits_for_the_object_between_the_fingers():
    robot = FakeStretch(grip_m=0.014)
    executor = an_executor(robot)
    result = executor.execute(request(1, value=3.0))
    assert result.reason is ReasonCode.NONE and result.gripper_closed
    assert not result.sent_base_delta_m.any()
    assert robot.current.gripper_aperture_m == pytest.approx(0.014)
    assert result.duration_s >= (0.064 - 0.014) / 0.1


def test_a_waiting_step_without_any_motion_is_executed():
    robot = FakeStretch()
    result = an_executor(robot).execute(request(1))
    assert result.reason is ReasonCode.NONE and result.sent is not None
    assert 0 < result.duration_s < 1.0


def test_pulling_a_heavy_door_is_no_stall_but_the_same_lag_without_a_grip_is():
    robot = FakeStretch(lag_m=0.02, grip_m=0.014)
    executor = an_executor(robot)
    assert executor.execute(request(1, value=3.0)).reason is ReasonCode.NONE
    for sequence in range(2, 6):
        assert executor.execute(request(sequence, BACK, value=3.0)).reason is ReasonCode.NONE
    free = FakeStretch(lag_m=0.02)
    result = an_executor(free).execute(request(1, BACK))
    assert result.reason is ReasonCode.STALLED and free.holds == 1


def test_no_progress_is_a_stall_in_time_and_never_winds_up():
    robot = FakeStretch(blocked={"arm_m"})
    executor = an_executor(robot)
    for sequence in range(1, 6):
        result = executor.execute(request(sequence, FORWARD))
        assert result.reason is ReasonCode.STALLED
        assert 1.0 < result.duration_s < 1.3
        assert abs(robot.commands[-1].arm_m - robot.current.arm_m) <= 0.05
    assert robot.holds == 5 and executor.latched is None


def test_a_joint_that_shakes_for_ever_times_out():
    robot = FakeStretch()
    robot.on_wait = lambda r: setattr(
        r, "current", a_state(wrist_roll_rad=0.05 * np.sin(40 * r.clock_s), steady_s=r.clock_s)
    )
    config = ExecutorConfig(step_timeout_s=2.0)
    result = an_executor(robot, config).execute(request(1))
    assert result.reason is ReasonCode.TIMEOUT and robot.holds == 1


def test_should_stop_holds_within_two_polls():
    robot = FakeStretch()
    polls = itertools.count()
    result = an_executor(robot).execute(
        request(1, FORWARD), lambda: ReasonCode.OPERATOR_STOP if next(polls) > 3 else None
    )
    assert result.reason is ReasonCode.OPERATOR_STOP and robot.holds == 1
    stopped_at = robot.current.arm_m
    robot.wait(1.0)
    assert robot.current.arm_m == stopped_at and 0.2 < stopped_at < 0.23


def test_stop_before_the_step_sends_nothing():
    robot = FakeStretch()
    result = an_executor(robot).execute(request(1, FORWARD), lambda: ReasonCode.SUPERVISOR_LOST)
    assert result.reason is ReasonCode.SUPERVISOR_LOST
    assert (result.sent, robot.commands) == (None, [])


def at(seconds, **changes):
    """Change the robot's reading once the clock passes `seconds`."""

    def hook(robot):
        if robot.clock_s > seconds:
            robot.current = a_state(**{"arm_m": robot.current.arm_m, **changes})

    return hook


def test_runstop_halts_and_stays_latched_after_release():
    robot = FakeStretch(on_wait=at(0.1, runstopped=True))
    executor = an_executor(robot)
    result = executor.execute(request(1, FORWARD))
    assert result.reason is ReasonCode.RUNSTOP and robot.holds == 1
    assert result.duration_s <= 0.2
    robot.on_wait = None
    robot.current = a_state(steady_s=robot.clock_s)
    refused = executor.execute(request(2, FORWARD))
    assert refused.reason is ReasonCode.LATCHED and len(robot.commands) == 1
    assert executor.latched is ReasonCode.RUNSTOP
    executor.clear_latch()
    assert executor.execute(request(3, FORWARD)).reason is ReasonCode.NONE


def test_silence_counts_as_a_stop_and_latches():
    robot = FakeStretch()
    executor = an_executor(robot)
    robot.silent = True
    result = executor.execute(request(1, FORWARD))
    assert result.reason is ReasonCode.STATE_STALE and robot.holds == 1
    assert result.duration_s <= 0.35 and executor.latched is ReasonCode.STATE_STALE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"homed": False}, ReasonCode.NOT_HOMED),
        ({"mode": "navigation"}, ReasonCode.WRONG_MODE),
        ({"runstopped": True}, ReasonCode.RUNSTOP),
        ({"steady_s": -1.0}, ReasonCode.STATE_STALE),
    ],
)
def test_a_robot_that_must_not_move_gets_no_command(changes, reason):
    robot = FakeStretch(current=a_state(**changes))
    executor = an_executor(robot)
    assert executor.check_robot() is reason
    executor.clear_latch()
    assert executor.execute(request(1, FORWARD)).reason is reason
    executor.clear_latch()
    assert executor.move_to_start(StartPose(), np.zeros(3)).reason is reason
    assert robot.commands == []


def test_a_refusing_robot_is_an_error_with_its_own_words():
    robot = FakeStretch(refuses=True)
    result = an_executor(robot).execute(request(1, FORWARD))
    assert (result.reason, result.message) == (ReasonCode.ROBOT_ERROR, "stretch: goal refused")
    assert result.sent is None and not result.sent_base_delta_m.any()


def test_each_sequence_number_is_executed_at_most_once_and_in_order():
    robot = FakeStretch()
    executor = an_executor(robot)
    order = [1, 1, 3, 2, 3, 4, 0]
    reasons = [executor.execute(request(n, (0, 0, 0.01))).reason for n in order]
    executed = [n for n, r in zip(order, reasons, strict=True) if r is ReasonCode.NONE]
    assert executed == [1, 3, 4] and len(robot.commands) == 3
    assert reasons.count(ReasonCode.OUT_OF_ORDER) == 4


def test_a_refused_step_uses_its_number_up():
    robot = FakeStretch()
    executor = an_executor(robot)
    stale = executor.execute(request(5, FORWARD, image_age_s=9.0))
    assert stale.reason is ReasonCode.STALE_INPUT and stale.sent is None
    assert executor.execute(request(5, FORWARD)).reason is ReasonCode.OUT_OF_ORDER


def test_only_the_active_session_is_executed():
    robot = FakeStretch()
    executor = an_executor(robot)
    foreign = executor.execute(request(1, FORWARD, session="other"))
    assert foreign.reason is ReasonCode.WRONG_SESSION and robot.commands == []
    executor.end_session()
    assert executor.execute(request(1, FORWARD)).reason is ReasonCode.WRONG_SESSION
    executor.begin_session("t")
    assert executor.execute(request(1, FORWARD, session="t")).reason is ReasonCode.NONE


def test_gravity_does_not_make_a_held_lift_creep():
    robot = FakeStretch()

    def sag(r):  # the lift always hangs 5 mm below its target
        if r.commands:
            r.current = a_state(
                arm_m=r.current.arm_m, lift_m=r.commands[-1].lift_m - 0.005, steady_s=r.clock_s
            )

    robot.on_wait = sag
    executor = an_executor(robot)
    for sequence in range(1, 11):
        assert executor.execute(request(sequence, (0, 0, 0.01))).reason is ReasonCode.NONE
    assert robot.commands[-1].lift_m == pytest.approx(0.6)


def test_a_hand_that_stands_still_between_the_states_closes():
    stall = GripperConfig().stall
    for delta, blocked in [((0, 0, 0.002), set()), (FORWARD, {"arm_m"})]:
        executor = an_executor(FakeStretch(blocked=blocked))
        closed = [
            executor.execute(request(n, delta, value=1.0)).gripper_closed
            for n in range(stall.steps + 1)
        ]
        assert closed == [False] * stall.steps + [True]
    moving = an_executor(FakeStretch())
    assert not any(
        moving.execute(request(n, (0, 0, 0.02), value=1.0)).gripper_closed for n in range(10)
    )
    without = GripperConfig(stall=StallRule(enabled=False))
    hovering = an_executor(FakeStretch(), gripper=without)
    assert not any(hovering.execute(request(n, value=1.0)).gripper_closed for n in range(10))


def test_start_pose_is_reached_with_its_offset_in_gripper_axes():
    robot = FakeStretch(current=a_state(gripper_aperture_m=0.01, wrist_yaw_rad=0.4, lift_m=0.4))
    executor = an_executor(robot)
    result = executor.move_to_start(StartPose(arm_m=0.1), np.array([0.1, 0.05, -0.03]))
    assert (result.reason, result.message) == (ReasonCode.NONE, "")
    state = robot.current
    assert state.lift_m == pytest.approx(0.57, abs=0.008)
    assert state.arm_m == pytest.approx(0.15, abs=0.008)
    assert state.base_x_m == pytest.approx(-0.1, abs=0.008)
    assert state.wrist_yaw_rad == pytest.approx(0.0, abs=0.03)
    assert state.gripper_aperture_m == pytest.approx(0.064, abs=0.005)
    limit = 0.05 + 1e-9
    assert all(abs(command.base_translate_m) <= limit for command in robot.commands)
    assert not executor.gripper_closed and executor.session == ""


def test_start_pose_with_a_base_pose_turns_and_drives_back():
    robot = FakeStretch(
        current=a_state(base_x_m=0.3, base_theta_rad=0.25, wrist_yaw_rad=1.53),
    )
    pose = StartPose(wrist_yaw_rad=1.53, base_x_m=0.0, base_y_m=0.0, base_theta_rad=0.0)
    executor = an_executor(robot, executor=ExecutorConfig(retreat_m=0.1))
    result = executor.move_to_start(pose, np.zeros(3))
    assert (result.reason, result.message) == (ReasonCode.NONE, "")
    assert robot.current.base_x_m == pytest.approx(0.0, abs=0.008)
    assert robot.current.base_theta_rad == pytest.approx(0.0, abs=0.03)
    for command in robot.commands:
        assert not (command.base_translate_m and command.base_rotate_rad)
        assert abs(command.base_rotate_rad) <= 0.1 + 1e-9


def test_start_opens_before_it_retreats_straight_back():
    robot = FakeStretch(current=a_state(gripper_aperture_m=0.0, arm_m=0.4))
    settings = RobotConfig(executor=ExecutorConfig(retreat_m=0.1))
    executor = StepExecutor(robot, MotionFilter(settings, robot.limits()), settings.executor)
    result = executor.move_to_start(StartPose(arm_m=0.4), np.zeros(3))
    assert result.reason is ReasonCode.NONE
    arm = [command.arm_m for command in robot.commands]
    assert arm[0] == pytest.approx(0.4) and min(arm) == pytest.approx(0.3, abs=0.01)
    assert robot.current.arm_m == pytest.approx(0.4, abs=0.008)


@pytest.mark.parametrize(
    ("pose", "offset", "reason", "part"),
    [
        (StartPose(), [0, 0, 0.9], ReasonCode.UNREACHABLE, "lift_m"),
        (StartPose(arm_m=0.5), [0, 0.1, 0], ReasonCode.UNREACHABLE, "arm_m"),
        (StartPose(), [np.nan, 0, 0], ReasonCode.INVALID_INPUT, "offset"),
        (StartPose(), [0, 0], ReasonCode.INVALID_INPUT, "offset"),
        (
            StartPose(base_x_m=0.0, base_y_m=0.5, base_theta_rad=0.0),
            [0, 0, 0],
            ReasonCode.UNREACHABLE,
            "sideways",
        ),
    ],
)
def test_a_start_that_cannot_be_reached_says_why(pose, offset, reason, part):
    robot = FakeStretch()
    before = robot.current
    result = an_executor(robot).move_to_start(pose, np.array(offset))
    assert result.reason is reason and part in result.message
    # At most the gripper has opened.
    unmoved = dataclasses.replace(
        robot.current, gripper_aperture_m=before.gripper_aperture_m, steady_s=before.steady_s
    )
    assert unmoved == before
    assert all(command.base_translate_m == 0 for command in robot.commands)


def test_start_with_a_gripper_that_does_not_open_goes_nowhere():
    robot = FakeStretch(current=a_state(gripper_aperture_m=0.0), blocked={"gripper_aperture_m"})
    result = an_executor(robot).move_to_start(StartPose(arm_m=0.4), np.zeros(3))
    assert result.reason is ReasonCode.STALLED and "did not open" in result.message
    assert len(robot.commands) == 1 and robot.current.arm_m == pytest.approx(0.2)


def test_start_is_stoppable_and_bounded_in_time():
    robot = FakeStretch()
    polls = itertools.count()
    result = an_executor(robot).move_to_start(
        StartPose(arm_m=0.5), np.zeros(3), lambda: ReasonCode.RUNSTOP if next(polls) > 60 else None
    )
    assert result.reason is ReasonCode.RUNSTOP and robot.holds == 1
    slow = FakeStretch()
    config = ExecutorConfig(start_timeout_s=2.0)
    late = an_executor(slow, config).move_to_start(StartPose(arm_m=0.5), np.zeros(3))
    assert late.reason is ReasonCode.TIMEOUT and "2 s" in late.message
