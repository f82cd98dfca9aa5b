"""Rows 8, 10, 12, 25 and 28: the executor dies; the robot stalls, is not ready, or is silent."""

from __future__ import annotations

import math
import time

import pytest
import stretch_joints as sj
from fault_measure import LIMITS, Measure
from fault_stack import Stack
from std_srvs.srv import Trigger

from vinn_msgs.msg import RolloutStatus

pytestmark = [
    pytest.mark.alone,
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.crosses_processes(
        reason="three nodes run as processes against watchdogs, and a busy machine may stall one"
    ),
]

MOVING = (sj.ARM, sj.LIFT)


def test_row_08_executor_killed(stack: Stack) -> None:
    """Nothing can send a hold: what is left of the one step that was sent is all that moves."""
    stack.run("executor killed")
    stack.wait_motion()
    before, base_before = stack.driver.joints.snapshot()
    stack.kill("stretch_executor")
    killed_s = time.monotonic()
    stack.driver.joints.pace = 6.0
    status = stack.wait_state(RolloutStatus.ENDED)
    assert status.reason == "EXECUTOR_LOST"
    stack.ros.wait_for(lambda: time.monotonic() > killed_s + 1.0)
    after, base_after = stack.driver.joints.snapshot()
    moved_m = [abs(after[joint] - before[joint]) for joint in MOVING]
    moved_m.append(math.dist(base_before[:2], base_after[:2]))
    turned_rad = max(abs(after[joint] - before[joint]) for joint in (sj.YAW, sj.PITCH, sj.ROLL))
    measure = Measure(8)
    measure.value("residual motion of an axis", max(moved_m), "m", f"<= {LIMITS['step_m']}")
    measure.value("residual turn of the wrist", turned_rad, "rad", "<= 0.1")
    measure.value(
        "motion commands after it died",
        sum(command.steady_s > killed_s + 0.05 for command in stack.driver.motions()),
        "",
        "== 0",
    )
    stack.respawn("stretch_executor")
    measure.value("motions after it came back", stack.expect_no_motion(), "", "== 0")


def test_row_10_stall(stack: Stack) -> None:
    stack.run("stall")
    began = len(stack.driver.commands)
    stuck: list[tuple[float, float]] = []

    def jam() -> None:
        stack.driver.joints.stuck = {"all"}
        stuck.append((time.monotonic(), stack.driver.joints.position[sj.ARM]))

    halt = stack.fault(jam, timeout_s=60.0)
    assert halt.status.reason == "STALLED", halt.status.message
    ((stuck_s, stuck_at_m),) = stuck
    stalls = [
        at_s - stuck_s
        for at_s, status in list(stack.executor_statuses)
        if at_s > stuck_s and status.reason == "STALLED"
    ]
    measure = Measure(10)
    assert halt.hold_s is not None
    measure.time("hold after the joints stopped", halt.hold_s, "no_progress_hold_s")
    measure.time("STALLED in executor/status", stalls[0], "no_progress_hold_s")
    wind_up_m = max(
        abs(command.targets[sj.ARM] - stuck_at_m)
        for command in stack.driver.commands[began:]
        if command.steady_s > stuck_s + 0.2
    )
    measure.value(
        "target beyond the measured arm", wind_up_m, "m", f"<= {LIMITS['step_m'] + 1e-6:g}"
    )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"homed": False}, "NOT_HOMED"),
        ({"mode": "navigation"}, "WRONG_MODE"),
        ({"battery_v": 9.5}, "LOW_BATTERY"),
    ],
)
def test_row_12_a_robot_that_is_not_ready(
    stack: Stack, fault: dict[str, object], reason: str
) -> None:
    stack.reset()
    for name, value in fault.items():
        setattr(stack.driver, name, value)
    stack.expect_no_motion(6)  # the driver's topics take a moment
    before_s = time.monotonic()
    reset = stack.reset()
    assert not reset.success, f"a reset moved a robot that is {reason}"
    assert reset.message.startswith(reason), reset.message
    assert not stack.start().accepted
    motions = [c for c in stack.driver.motions() if c.steady_s > before_s]
    Measure(12).value(f"motions of a robot that is {reason}", len(motions), "", "== 0")


def test_row_25_joints_in_another_order_unknown_or_missing(stack: Stack) -> None:
    stack.driver.reverse = True
    stack.driver.extra = {"joint_tail": 1.0}
    stack.run("reversed joints")
    lift_m = stack.driver.joints.position[sj.LIFT]
    for _ in range(2):
        stack.wait_motion()
    assert abs(stack.driver.joints.position[sj.LIFT] - lift_m) < 0.01, "arm and lift were mixed up"

    def hide() -> None:
        stack.driver.hidden = {"joint_wrist_roll"}

    halt = stack.fault(hide)
    measure = stack.report(25, halt, "STATE_STALE")
    stack.wait_latched()
    stack.driver.hidden = set()
    measure.value("motions after the joint came back", stack.expect_no_motion(), "", "== 0")
    stack.clear()


def test_row_28_services_that_refuse_or_never_answer(stack: Stack) -> None:
    measure, slowest_s, moved = Measure(28), 0.0, 0
    for fault, service, named in (
        ("refuse", "switch_to_position_mode", "not now"),
        ("mute", "activate_streaming_position", "no answer within"),
    ):
        # A fresh executor meets the robot anew.
        stack.respawn("stretch_executor")
        setattr(stack.driver, fault, {service})
        before = len(stack.driver.motions())
        asked_s = time.monotonic()
        answer = stack.ros.call(Trigger, "supervisor/reset", timeout_s=30.0)
        slowest_s = max(slowest_s, time.monotonic() - asked_s)
        assert not answer.success
        assert service in answer.message
        assert named in answer.message
        moved += len(stack.driver.motions()) - before
        setattr(stack.driver, fault, set())
    measure.time("slowest answer to a reset", slowest_s, "service_answer_s")
    measure.value("motions", moved, "", "== 0")
    stack.run("it answers again")
