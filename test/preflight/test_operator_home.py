"""`vinn-operator home` moves nothing past a latched fault, and never calls that done."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")

from rclpy.node import Node
from std_srvs.srv import Trigger

from vinn_msgs.msg import ExecutorStatus
from vinn_ros import qos

pytestmark = pytest.mark.ros


class Robot(Node):
    """A driver that homes, and an executor's status beside it (None: no executor)."""

    def __init__(self, status: ExecutorStatus | None, after: ExecutorStatus | None = None) -> None:
        super().__init__("robot", use_global_arguments=False)
        self.homed, self.succeeds = 0, True
        self.status, self._after = status, after
        self.create_service(Trigger, "home_the_robot", self._home)
        if status is not None:
            self._statuses = self.create_publisher(ExecutorStatus, "executor/status", qos.STREAM)
            self.create_timer(0.05, lambda: self._statuses.publish(self.status))

    def _home(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.homed += 1
        self.status = self._after or self.status
        response.success, response.message = self.succeeds, "Homed." if self.succeeds else "stuck"
        return response


def home() -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "vinn_ros.operator", "home", "--timeout", "20"],
        capture_output=True,
        text=True,
        timeout=90,
        env=os.environ,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


IDLE = ExecutorStatus(state=ExecutorStatus.IDLE, reason="NONE")


def latched(reason: str, message: str = "") -> ExecutorStatus:
    return ExecutorStatus(state=ExecutorStatus.LATCHED, reason=reason, message=message)


@pytest.mark.parametrize("reason", ["RUNSTOP", "STATE_STALE", "ROBOT_ERROR"])
def test_a_latched_fault_is_named_and_nothing_moves(ros: Any, reason: str) -> None:
    robot = ros.add(Robot(latched(reason, "seen between two steps")))
    code, out, error = home()
    assert (code, out, robot.homed) == (1, "", 0)
    assert f"latched by {reason}: seen between two steps: not homed" in error
    assert "vinn-operator clear-latch" in error


def test_a_fault_that_latches_meanwhile_is_not_done(ros: Any) -> None:
    robot = ros.add(Robot(IDLE, after=latched("RUNSTOP")))
    code, out, error = home()
    assert (code, out, robot.homed) == (1, "", 1)
    assert "homed, but latched by RUNSTOP" in error


def test_a_robot_without_a_fault_is_homed(ros: Any) -> None:
    robot = ros.add(Robot(IDLE))
    assert home() == (0, "Homed.\n", "")
    assert robot.homed == 1


def test_a_driver_that_fails_says_why(ros: Any) -> None:
    robot = ros.add(Robot(IDLE))
    robot.succeeds = False
    assert home() == (1, "", "stuck\n")


def test_without_an_executor_nobody_knows_of_a_latch(ros: Any) -> None:
    robot = ros.add(Robot(None))
    code, out, _ = home()
    assert (code, robot.homed) == (0, 1)
    assert "executor/status: nothing heard, a fault may be latched" in out
