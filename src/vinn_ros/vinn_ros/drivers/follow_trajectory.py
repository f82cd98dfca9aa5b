"""Stretch behind Hello Robot's `stretch_driver`, driven through FollowJointTrajectory goals.

Slower than streaming (at most five goals a second), but each goal carries guarded-contact
thresholds, which the pull on a door needs. What the driver does with a goal: it ignores tolerances
and times, gives each point ten seconds, and rejects a goal that comes less than 0.2 s after one
that still runs. A cancelled goal leaves the joints going to their targets, and a base increment of
zero breaks the goal. So arrival is judged by joint states alone, holding is a goal of its own, and
base joints are named only when the base moves.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from vinn.errors import ConfigError, RobotError
from vinn.robot.config import ContactConfig, RobotConfig
from vinn.robot.types import JointCommand

from vinn_ros.drivers.driver import Driver
from vinn_ros.drivers.joint_names import JOINTS
from vinn_ros.drivers.stretch_topics import StretchTopics
from vinn_ros.node.calls import wait_for
from vinn_ros.node.lifecycle import VinnNode

try:
    from control_msgs.action import FollowJointTrajectory
    from trajectory_msgs.msg import JointTrajectoryPoint
except ImportError:  # machines that only stream
    FollowJointTrajectory = None

_ACTION = "stretch_controller/follow_joint_trajectory"
_GOAL_PERIOD_S = 0.22
"""The driver rejects what comes within 0.2 s of a goal that runs."""
_CANCEL_S = 0.3
_GUARDED_CONTACT = 100
_BASE_JOINTS = {
    "base_translate_m": "translate_mobile_base",
    "base_rotate_rad": "rotate_mobile_base",
}
_WRIST_FIELDS = ("wrist_yaw_rad", "wrist_pitch_rad", "wrist_roll_rad")


def goal_joints(
    command: JointCommand, contact: ContactConfig, fixed: frozenset[str] = frozenset()
) -> tuple[list[str], list[float], list[float]]:
    """Joint names, positions and guarded-contact thresholds [%] of a goal for `command`.

    Thresholds count for the first joints and end where the first joint keeps the robot's own: the
    driver takes a list that is too short as that.

    Args:
        command: what is wanted.
        contact: thresholds.
        fixed: fields of joints that the tool does not have.
    """
    thresholds = contact.pull if command.loaded else contact.free
    wanted: list[tuple[str, float, float | None]] = [
        ("wrist_extension", command.arm_m, thresholds.arm_percent)
    ]
    for field, name in _BASE_JOINTS.items():
        if getattr(command, field):
            wanted.append((name, getattr(command, field), thresholds.base_percent))
    wanted.append(("joint_lift", command.lift_m, thresholds.lift_percent))
    # Joints with thresholds first, whatever their order in the arm.
    wanted.sort(key=lambda joint: joint[2] is None)
    effort = [percent for _, _, percent in wanted if percent is not None]
    joints = [(name, value) for name, value, _ in wanted] + [
        (JOINTS[field][0], getattr(command, field)) for field in _WRIST_FIELDS if field not in fixed
    ]
    joints.append(("gripper_aperture", command.gripper_aperture_m))
    return [name for name, _ in joints], [float(value) for _, value in joints], effort


class FollowTrajectoryDriver(StretchTopics):
    """A `vinn.robot.types.RobotDriver` over FollowJointTrajectory."""

    def __init__(self, node: VinnNode, service_timeout_s: float) -> None:
        """Args: the node, the limit of service calls and of a goal's acceptance.

        Raises:
            vinn.errors.ConfigError: control_msgs is not installed.
        """
        if FollowJointTrajectory is None:
            raise ConfigError(
                "driver: trajectory needs control_msgs, which is not installed; allowed without "
                "it: streaming, stretch_body"
            )
        super().__init__(node, service_timeout_s)
        self._client: ActionClient = ActionClient(
            node, FollowJointTrajectory, _ACTION, callback_group=ReentrantCallbackGroup()
        )
        self._contact = ContactConfig()
        self._goal_lock = threading.Lock()
        self._handle: Any = None
        """The goal that runs."""
        self._sent_s = -_GOAL_PERIOD_S
        self._gripper_m: float | None = None
        self.contacts = 0
        """Goals that guarded contact ended."""

    def start(self, config: RobotConfig) -> None:
        """Position mode, streaming off, limits known, the action there. Blocks.

        Raises:
            vinn.errors.RobotError: a service refused or did not answer, or the action is missing.
        """
        self._contact = config.contact
        self._prepare(config, streaming=False)
        if not self._client.wait_for_server(timeout_sec=self._timeout_s):
            raise RobotError(f"{_ACTION}: not there within {self._timeout_s:g} s")

    def stop(self) -> None:
        """Let go of the goal that runs, without waiting for the answer."""
        handle = self._handle
        if handle is not None:
            handle.cancel_goal_async()

    def send(self, command: JointCommand) -> JointCommand:
        """A goal with every joint; returns once it is accepted.

        Raises:
            vinn.errors.RobotError: not finite, streaming is on, rejected, or no answer in time.
        """
        self._check_finite(command)
        with self._changed:
            if self._streaming:
                raise RobotError("is_streaming_position: true; allowed: false (someone switched)")
        names, positions, effort = goal_joints(command, self._contact, frozenset(self._fixed))
        if command.gripper_aperture_m == self._gripper_m:
            # A gripper that squeezes something never arrives: named again, it would keep the goal
            # (and with it the driver's mode lock) for the whole ten seconds.
            names, positions = names[:-1], positions[:-1]
        self._start_goal(names, positions, effort)
        self._gripper_m = command.gripper_aperture_m
        return command

    def hold(self) -> None:
        """The measured pose becomes the target, at once or after the driver's 0.2 s."""
        self._ask_to_stop()
        handle, self._handle = self._handle, None
        if handle is not None:
            # A cancelled goal is no longer active, so that the next is accepted at once.
            try:
                wait_for(handle.cancel_goal_async(), _CANCEL_S, f"{_ACTION}: cancel")
            except RobotError as error:
                self._node.get_logger().warning(str(error))
        state = self.state()
        measured = [
            (names[0], getattr(state, field))
            for field, names in JOINTS.items()
            if field not in self._fixed
        ]
        self._start_goal([name for name, _ in measured], [value for _, value in measured], [])

    def _start_goal(self, names: list[str], positions: list[float], effort: list[float]) -> None:
        goal = FollowJointTrajectory.Goal()
        goal.trajectory.joint_names = names
        goal.trajectory.points = [JointTrajectoryPoint(positions=positions, effort=effort)]
        with self._goal_lock:
            for attempt in (1, 2):
                left_s = self._sent_s + _GOAL_PERIOD_S - time.monotonic()
                if left_s > 0 and (self._handle is not None or attempt == 2):
                    time.sleep(left_s)
                self._sent_s = time.monotonic()
                handle = wait_for(
                    self._client.send_goal_async(goal), self._timeout_s, f"{_ACTION}: goal"
                )
                if handle.accepted:
                    self._handle = handle
                    handle.get_result_async().add_done_callback(
                        lambda future, handle=handle: self._take_result(handle, future)
                    )
                    return
        raise RobotError(f"{_ACTION}: goal rejected twice")

    def _take_result(self, handle: Any, future: Any) -> None:
        """Only guarded contact is of interest: arrival is judged by the joint states."""
        if self._handle is handle:
            self._handle = None
        if future.cancelled() or future.result() is None:
            return
        result = future.result().result
        if result.error_code == _GUARDED_CONTACT:
            self.contacts += 1
            self._node.get_logger().warning("guarded contact ended a motion")
        elif result.error_code != FollowJointTrajectory.Result.SUCCESSFUL:
            self._node.get_logger().warning(
                f"{_ACTION}: error {result.error_code}: {result.error_string}"
            )


DRIVER = Driver(
    "trajectory",
    lambda node, settings: FollowTrajectoryDriver(node, settings.service_timeout_s),
)
