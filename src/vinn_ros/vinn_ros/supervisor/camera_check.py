"""The sign check on a running system: jog, look, jog back, look."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rclpy.client import Client
from vinn.errors import RobotError
from vinn.robot.checks.sign_check import AXES, JOGS_M, SignCheck, check_axis
from vinn.robot.types import ReasonCode

from vinn_msgs.srv import Jog
from vinn_ros.conversions import from_vector3, to_vector3
from vinn_ros.node.calls import call
from vinn_ros.supervisor.preflight_probe import PreflightProbe

_CAMERA_LATENCY_S = 0.2
"""Frames that arrive sooner may have been captured before the robot stood still."""
_FRAME_TIMEOUT_S = 5.0
_JOG_TIMEOUT_S = 20.0


class Stopped(Exception):
    """The operator asked for an end."""


def run_sign_check(
    jog: Client,
    probe: PreflightProbe,
    tell: Callable[[str], None],
    stopping: Callable[[], bool],
) -> SignCheck:
    """Jog each axis of the camera there and back, and compare with the pictures.

    Blocks for up to a minute; another thread spins.

    Raises:
        vinn.errors.VinnError: the robot refused a jog, or no frame came.
        Stopped: `stopping` became true.
    """

    def look() -> NDArray[np.uint8]:
        return probe.frame_after(time.monotonic() + _CAMERA_LATENCY_S, _FRAME_TIMEOUT_S)

    def move(delta_m: NDArray[np.float64]) -> NDArray[np.float64]:
        if stopping():
            raise Stopped
        answer = call(jog, Jog.Request(camera_delta=to_vector3(delta_m)), _JOG_TIMEOUT_S)
        if not answer.success:
            if answer.reason == ReasonCode.OPERATOR_STOP.value:
                raise Stopped
            raise RobotError(f"executor/jog: {answer.reason}: {answer.message}")
        return from_vector3(answer.moved)

    results = []
    for axis, there in zip(AXES, JOGS_M, strict=True):
        tell(f"checking the camera's {axis} axis")
        before = look()
        moved = move(np.array(there))
        away = look()
        returned = move(-np.array(there))
        after = look()
        results.append(check_axis(axis, [(before, away, moved), (away, after, returned)]))
    return SignCheck(tuple(results))
