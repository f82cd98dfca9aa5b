"""Rows 31-34: a driver that starts again, nodes and cameras that were not there before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fault_measure import Measure
from fault_stack import QUICK, Stack
from rclpy.node import Node
from std_srvs.srv import Trigger
from vinn_ros.node import qos

from vinn_msgs.msg import Prediction, RolloutStatus

pytestmark = [
    pytest.mark.alone,
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.crosses_processes(
        reason="three nodes run as processes against watchdogs, and a busy machine may stall one"
    ),
]


def recover(stack: Stack, row: int) -> None:
    """What docs/operate.md says after a fault: clear the latch, reset, start."""
    stack.wait_latched()
    stack.clear()
    answer = stack.reset()
    measure = Measure(row)
    measure.value("documented recovery works", int(answer.success), "", "== 1")
    stack.run("recovered")
    stack.stop()


def test_row_31_the_driver_dies_and_starts_again(stack: Stack) -> None:
    stack.run("driver dies")

    def die() -> None:
        stack.driver.silent, stack.driver.streaming = True, False

    halt = stack.fault(die)
    measure = stack.report(31, halt, "STATE_STALE")
    stack.driver.silent = False  # back, and it does not stream, as after every start
    moved = stack.expect_no_motion()
    measure.value("motions after the driver came back", moved, "", "== 0")
    recover(stack, 31)


@contextmanager
def second_publisher(stack: Stack) -> Iterator[None]:
    publisher = stack.ros.node.create_publisher(Prediction, "policy/prediction", qos.RECORD)
    try:
        yield
    finally:
        stack.ros.node.destroy_publisher(publisher)


def test_row_32_a_second_policy(stack: Stack) -> None:
    """It is found when it comes; while it is there, nothing is started or reset."""
    stack.run("second policy", pace=2.0)
    stack.wait_motion()
    came_s = time.monotonic()
    with second_publisher(stack):
        status = stack.wait_state(RolloutStatus.ENDED)
        assert status.reason == "DUPLICATE_NODE", status.message
        assert "/harness" in status.message
        last_s = stack.driver.last_motion_s - came_s
        measure = Measure(32)
        measure.time("last motion after a second policy came", max(0.0, last_s), "found_s")
        moved = len(stack.driver.motions())
        answer = stack.ros.call(Trigger, "supervisor/reset", timeout_s=60.0)
        assert "DUPLICATE_NODE" in answer.message
        assert stack.start().reason == "NOT_READY"
        measure.value(
            "motions while there are two", len(stack.driver.motions()) - moved, "", "== 0"
        )
    stack.run("alone again")
    stack.stop()


class Translator(Node):
    """Passes predictions on, in a unit of another version when asked to."""

    def __init__(self) -> None:
        super().__init__("translator", use_global_arguments=False)
        self.unit = ""
        out = self.create_publisher(Prediction, "relayed/prediction", qos.RECORD)

        def take(prediction: Prediction) -> None:
            prediction.action_scale = self.unit or prediction.action_scale
            out.publish(prediction)

        self.create_subscription(Prediction, "policy/prediction", take, qos.RECORD)


def test_row_33_a_policy_of_another_version(stack: Stack) -> None:
    translator = stack.ros.add(Translator())
    stack.respawn("rollout_supervisor", remap=("policy/prediction", "relayed/prediction"))
    try:
        # Steps end soon: what is asked for next is looked at when the last one has ended.
        stack.run("another version", pace=QUICK)

        def speak() -> None:
            translator.unit = "furlong"

        halt = stack.fault(speak)
        measure = stack.report(33, halt, "INVALID_INPUT")
        assert "'furlong'" in halt.status.message
        measure.value("motions in an unknown unit", stack.expect_no_motion(6), "", "== 0")
        translator.unit = ""
        assert stack.reset().success
    finally:
        stack.respawn("rollout_supervisor")


def test_row_34_images_of_another_shape(stack: Stack) -> None:
    stack.run("another shape")

    def turn() -> None:
        stack.camera.mode = "smaller"

    halt = stack.fault(turn)
    measure = stack.report(34, halt, "INVALID_IMAGE")
    measure.value("motions from another shape", stack.expect_no_motion(6), "", "== 0")
