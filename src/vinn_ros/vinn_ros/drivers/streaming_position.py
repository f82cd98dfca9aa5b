"""Stretch behind Hello Robot's `stretch_driver`, driven through its streaming position path.

Facts this stands on: docs of `stretch_driver`; `joint_pose_cmd` takes absolute targets for all
joints but the base; nothing stops a position goal when its sender dies, so only short increments
are sent; service helpers elsewhere report success without looking, so every answer is checked here.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger
from vinn.errors import RobotError
from vinn.robot.types import JointCommand, JointLimits, RobotState

from vinn_ros import qos
from vinn_ros.calls import checked
from vinn_ros.drivers.joint_names import FINGERS, JOINTS, joint_limits, named
from vinn_ros.drivers.pose_command import HEAD_ENTRIES, PoseLayout, finger_rad_to_aperture
from vinn_ros.lifecycle import VinnNode


class StreamingPositionDriver:
    """A `vinn.robot.types.RobotDriver`. Readings arrive in the node's threads, by name."""

    def __init__(self, node: VinnNode, layout: PoseLayout, service_timeout_s: float) -> None:
        """Args: the node whose topics are used, the command vector, the limit of service calls."""
        self._node = node
        self._layout = layout
        self._timeout_s = service_timeout_s
        self._changed = threading.Condition()
        self._joints: Mapping[str, float] = {}
        self._received_s = -math.inf
        self._limits: JointLimits | None = None
        self._homed: bool | None = None
        self._runstopped: bool | None = None
        self._mode: str | None = None
        self._base = (0.0, 0.0, 0.0)
        self._gripper_m: float | None = None
        """The gripper's last target."""

        readings = MutuallyExclusiveCallbackGroup()
        for message_type, topic, callback, profile in (
            (JointState, "stretch/joint_states", self._take_joints, qos.NEWEST),
            (JointState, "joint_limits", self._take_limits, qos.STREAM),
            (Bool, "is_homed", self._take_homed, qos.STREAM),
            (Bool, "is_runstopped", self._take_runstopped, qos.STREAM),
            (String, "mode", self._take_mode, qos.STREAM),
            (Odometry, "odom", self._take_odometry, qos.NEWEST),
        ):
            node.subscribe(message_type, topic, callback, profile, readings)
        self._commands = node.create_publisher(Float64MultiArray, "joint_pose_cmd", qos.STREAM)
        services = MutuallyExclusiveCallbackGroup()

        def client(name: str) -> Any:
            return node.create_client(Trigger, name, callback_group=services)

        self._get_joint_states = client("get_joint_states")
        self._position_mode = client("switch_to_position_mode")
        self._activate = client("activate_streaming_position")
        self._deactivate = client("deactivate_streaming_position")
        self._stop = client("stop_the_robot")

    # Called once before and after use

    def start(self) -> None:
        """Position mode, streaming on, limits known. Blocks; another thread spins.

        Raises:
            vinn.errors.RobotError: a service refused or did not answer.
        """
        checked(self._position_mode, Trigger.Request(), self._timeout_s)
        checked(self._activate, Trigger.Request(), self._timeout_s)
        checked(self._get_joint_states, Trigger.Request(), self._timeout_s)
        deadline_s = time.monotonic() + self._timeout_s
        with self._changed:
            while self._limits is None or self._received_s == -math.inf:
                if not self._changed.wait(deadline_s - time.monotonic()):
                    missing = "joint_limits" if self._limits is None else "stretch/joint_states"
                    raise RobotError(f"{missing}: nothing received in {self._timeout_s:g} s")

    def stop(self) -> None:
        """Leave streaming, without waiting for the answer."""
        if self._deactivate.service_is_ready():
            self._deactivate.call_async(Trigger.Request())

    # RobotDriver

    def state(self) -> RobotState:
        """The newest reading, joints matched by name."""
        with self._changed:
            if self._received_s == -math.inf:
                raise RobotError("stretch/joint_states: nothing received")
            for topic, value in (
                ("is_homed", self._homed),
                ("is_runstopped", self._runstopped),
                ("mode", self._mode),
            ):
                if value is None:
                    raise RobotError(f"{topic}: nothing received")
            joints = self._joints
            values = {field: named(joints, *names) for field, names in JOINTS.items()}
            x, y, theta = self._base
            state = RobotState(
                steady_s=self._received_s,
                gripper_aperture_m=self._aperture(joints),
                base_x_m=x,
                base_y_m=y,
                base_theta_rad=theta,
                homed=bool(self._homed),
                runstopped=bool(self._runstopped),
                mode=str(self._mode),
                **values,
            )
        return state

    def limits(self) -> JointLimits:
        """What the robot reported."""
        with self._changed:
            if self._limits is None:
                raise RobotError("joint_limits: nothing received")
            return self._limits

    def now_s(self) -> float:
        """The steady clock."""
        return time.monotonic()

    def send(self, command: JointCommand) -> JointCommand:
        """Publish targets for every joint."""
        with self._changed:
            head = {
                entry: self._joints[f"joint_{entry}"]
                for entry in HEAD_ENTRIES
                if f"joint_{entry}" in self._joints
            }
        values = self._layout.encode(command, head)
        if not all(math.isfinite(value) for value in values):
            raise RobotError(f"command refused: not finite: {command}")
        if self._commands.get_subscription_count() == 0:
            raise RobotError("joint_pose_cmd: nobody listens")
        self._commands.publish(Float64MultiArray(data=values))
        self._gripper_m = command.gripper_aperture_m
        return command

    def hold(self) -> None:
        """The measured pose becomes the target; the driver is asked to stop the base as well."""
        if self._stop.service_is_ready():
            self._stop.call_async(Trigger.Request())
        state = self.state()
        self.send(
            JointCommand(
                lift_m=state.lift_m,
                arm_m=state.arm_m,
                wrist_yaw_rad=state.wrist_yaw_rad,
                wrist_pitch_rad=state.wrist_pitch_rad,
                wrist_roll_rad=state.wrist_roll_rad,
                # A gripper that was told to close keeps squeezing: it must not let go.
                gripper_aperture_m=(
                    state.gripper_aperture_m if self._gripper_m is None else self._gripper_m
                ),
            )
        )

    def wait(self, seconds: float) -> None:
        """Until the next joint states, at most `seconds`."""
        with self._changed:
            before = self._received_s
            self._changed.wait_for(lambda: self._received_s != before, timeout=seconds)

    # Inside

    def _take_joints(self, message: JointState) -> None:
        received_s = time.monotonic()
        with self._changed:
            self._joints = dict(zip(message.name, message.position, strict=False))
            self._received_s = received_s
            self._changed.notify_all()

    def _take_limits(self, message: JointState) -> None:
        try:
            limits = joint_limits(message)
        except RobotError as error:
            self._node.get_logger().warning(f"joint_limits: {error}", throttle_duration_sec=10.0)
            return
        with self._changed:
            self._limits = limits
            self._changed.notify_all()

    def _take_homed(self, message: Bool) -> None:
        with self._changed:
            self._homed = bool(message.data)

    def _take_runstopped(self, message: Bool) -> None:
        with self._changed:
            self._runstopped = bool(message.data)
            # A pressed runstop may silence the joint states: whoever waits looks at once.
            self._changed.notify_all()

    def _take_mode(self, message: String) -> None:
        with self._changed:
            self._mode = message.data

    def _take_odometry(self, message: Odometry) -> None:
        pose = message.pose.pose
        theta = 2.0 * math.atan2(pose.orientation.z, pose.orientation.w)
        values = (pose.position.x, pose.position.y, theta)
        if all(math.isfinite(value) for value in values):
            with self._changed:
                self._base = values

    def _aperture(self, joints: Mapping[str, float]) -> float:
        if "gripper_aperture" in joints:
            return float(named(joints, "gripper_aperture"))
        fingers = [float(named(joints, name)) for name in FINGERS]
        return finger_rad_to_aperture(sum(fingers) / len(fingers))
