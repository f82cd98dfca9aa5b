"""What an operator who drives asks of the supervisor: control, and one step after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import SetBool
from vinn.robot.types import ReasonCode

from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import DriveStep
from vinn_ros.conversions import from_vector3
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.supervisor.driving import Driving, HandStep, Told
from vinn_ros.supervisor.policy_link import PolicyLink

LONGEST_M = 0.2
"""A longer step by hand is a mistake of whoever asks; the robot's own cap is much lower."""
_GRIPPER = (DriveStep.Request.OPEN, DriveStep.Request.CLOSE)


class DriveRequests:
    """Serves `supervisor/take_over` and `supervisor/drive`."""

    def __init__(
        self,
        node: VinnNode,
        driving: Driving,
        policy: PolicyLink,
        status: Callable[[], RolloutStatus],
        changed: Callable[[], None],
        step_timeout_s: float,
    ) -> None:
        """Args: who serves, who passes steps on, who gets control back, how the rollout is, who is
        told that control went to another, how long a step may take.
        """
        self._driving = driving
        self._policy = policy
        self._status = status
        self._changed = changed
        self._step_timeout_s = step_timeout_s
        group = ReentrantCallbackGroup()
        node.serve(SetBool, "supervisor/take_over", self._take_over, group)
        node.serve(DriveStep, "supervisor/drive", self._drive, group)

    def _take_over(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Control to the operator, or back to the policy."""
        refusal = self._running()
        if refusal is None and not request.data:
            refusal = self._policy.not_seeing()
        if refusal is not None:
            response.message = f"{refusal[0].value}: {refusal[1]}"
            return response
        self._driving.engage(request.data)
        self._changed()
        response.success = True
        response.message = "the operator has control" if request.data else "the policy has control"
        return response

    def _drive(
        self, request: DriveStep.Request, response: DriveStep.Response
    ) -> DriveStep.Response:
        """One step; answers when it has ended."""
        reason, response.message = self._refusal(request) or self._driving.ask(
            HandStep(
                from_vector3(request.camera_delta), request.gripper == DriveStep.Request.CLOSE
            ),
            self._step_timeout_s,
        )
        response.success, response.reason = reason is ReasonCode.NONE, reason.value
        return response

    def _running(self) -> Told | None:
        if self._status().state == RolloutStatus.RUNNING:
            return None
        return ReasonCode.NOT_READY, "no rollout is running"

    def _refusal(self, request: DriveStep.Request) -> Told | None:
        """Why no such step may be done, whoever has control; or None."""
        refusal = self._running()
        if refusal is not None:
            return refusal
        status = self._status()
        if request.session != status.session:
            session = f"session: {request.session!r}; allowed: {status.session!r}"
            return ReasonCode.WRONG_SESSION, session
        if request.after_step != status.step:
            step = f"after_step: {request.after_step}; the last step was {status.step}"
            return ReasonCode.OUT_OF_ORDER, step
        if request.gripper not in _GRIPPER:
            return ReasonCode.INVALID_INPUT, f"gripper: {request.gripper}; allowed: 0 open, 1 close"
        delta_m = from_vector3(request.camera_delta)
        # Written so that NaN is refused as well.
        if not np.linalg.norm(delta_m) <= LONGEST_M:
            values = ", ".join(f"{value:g}" for value in delta_m)
            allowed = f"finite numbers, at most {LONGEST_M:g} m long"
            return ReasonCode.INVALID_INPUT, f"camera_delta: {values}; allowed: {allowed}"
        return None
