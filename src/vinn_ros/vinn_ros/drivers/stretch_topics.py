"""What `stretch_driver` publishes and serves, for either way of commanding it.

Facts this stands on: joint states come by name, in an order that may change, the fingers as angles;
limits are sent only when asked for, lower ends as positions and upper ends as velocities; service
helpers elsewhere report success without looking, so every answer is checked here.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from vinn.errors import RobotError
from vinn.robot.config import RobotConfig
from vinn.robot.types import JointCommand, JointLimits, RobotState

from vinn_ros.drivers.joint_names import FINGERS, JOINTS, joint_limits, named
from vinn_ros.drivers.pose_command import finger_rad_to_aperture
from vinn_ros.node import qos
from vinn_ros.node.calls import checked
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.node_executor import QuickGroup

_SILENCE_S = 0.7
"""No driver starts within that, and none that runs is silent for so long (runstop excepted)."""


class StretchTopics:
    """The reading half of a `vinn.robot.types.RobotDriver`, and the services.

    Readings arrive in the node's threads. Subclasses say how commands are sent.
    """

    def __init__(self, node: VinnNode, service_timeout_s: float) -> None:
        """Args: the node whose topics and services are used, the limit of service calls."""
        self._node = node
        self._timeout_s = service_timeout_s
        self._changed = threading.Condition()
        self._joints: Mapping[str, float] = {}
        self._received_s = -math.inf
        self._limits: JointLimits | None = None
        self._homed: bool | None = None
        self._runstopped: bool | None = None
        self._mode: str | None = None
        self._streaming: bool | None = None
        """None: this driver does not tell."""
        self._interrupted = False
        self._base = (0.0, 0.0, 0.0)
        self._fixed: dict[str, float] = {}
        """Joints that the tool does not have, and where they count as standing."""

        readings = QuickGroup()
        for message_type, topic, callback, profile in (
            (JointState, "stretch/joint_states", self._take_joints, qos.NEWEST),
            (JointState, "joint_limits", self._take_limits, qos.STREAM),
            (Bool, "is_homed", self._take_homed, qos.STREAM),
            (Bool, "is_runstopped", self._take_runstopped, qos.STREAM),
            (Bool, "is_streaming_position", self._take_streaming, qos.STREAM),
            (String, "mode", self._take_mode, qos.STREAM),
            (Odometry, "odom", self._take_odometry, qos.NEWEST),
        ):
            node.subscribe_sensor(message_type, topic, callback, profile, readings)
        services = QuickGroup()

        def client(name: str) -> Any:
            return node.create_client(Trigger, name, callback_group=services)

        self._get_joint_states = client("get_joint_states")
        self._position_mode = client("switch_to_position_mode")
        self._activate = client("activate_streaming_position")
        self._deactivate = client("deactivate_streaming_position")
        self._stop = client("stop_the_robot")

    @property
    def interrupted(self) -> bool:
        """Whether its topics were silent since `start`: it may be another run of the driver."""
        with self._changed:
            return self._interrupted or time.monotonic() - self._received_s > _SILENCE_S

    # RobotDriver, but for `send` and `hold`

    def state(self) -> RobotState:
        """The newest reading, joints matched by name.

        Raises:
            vinn.errors.RobotError: nothing received yet, a joint is missing or not finite.
        """
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
            values = {field: self._joint(joints, field) for field in JOINTS}
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

    def wait(self, seconds: float) -> None:
        """Until the next joint states, at most `seconds`."""
        with self._changed:
            before = self._received_s
            self._changed.wait_for(lambda: self._received_s != before, timeout=seconds)

    # For subclasses

    def _prepare(self, config: RobotConfig, streaming: bool) -> None:
        """Position mode, streaming as wanted, limits known. Blocks; another thread spins.

        Raises:
            vinn.errors.RobotError: a service refused or did not answer, or the robot's topics do
                not confirm what the service promised.
        """
        self._fixed = {
            name: limit.lower
            for name, limit in config.tool.limits
            if limit.lower == limit.upper and name in JOINTS
        }
        with self._changed:
            # A driver that was started again knows nothing of what the one before it said.
            self._limits = self._mode = self._homed = self._runstopped = None
            self._received_s, self._interrupted = -math.inf, False
        checked(self._position_mode, Trigger.Request(), self._timeout_s)
        if streaming:
            checked(self._activate, Trigger.Request(), self._timeout_s)
        elif self._deactivate.service_is_ready() or self._streaming is not None:
            # A driver that cannot stream has no such service.
            checked(self._deactivate, Trigger.Request(), self._timeout_s)
        checked(self._get_joint_states, Trigger.Request(), self._timeout_s)
        self._await(lambda: self._limits is not None, "joint_limits: nothing received")
        self._await(lambda: self._received_s > -math.inf, "stretch/joint_states: nothing received")
        self._await(lambda: self._homed is not None, "is_homed: nothing received")
        self._await(lambda: self._runstopped is not None, "is_runstopped: nothing received")
        self._await(lambda: self._mode == "position", "mode: not position, though it was asked for")
        self._await(
            lambda: self._streaming in (streaming, None),
            f"is_streaming_position: not {str(streaming).lower()}, though it was asked for",
        )

    def _await(self, condition: Any, problem: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout=self._timeout_s):
                raise RobotError(f"{problem} within {self._timeout_s:g} s")

    def _ask_to_stop(self) -> None:
        """`stop_the_robot`, without waiting: it leaves wrist pitch and roll as they are."""
        if self._stop.service_is_ready():
            self._stop.call_async(Trigger.Request())

    @staticmethod
    def _check_finite(command: JointCommand) -> None:
        """NaN passes the driver's own clamp."""
        if not all(math.isfinite(value) for value in vars(command).values()):
            raise RobotError(f"command refused: not finite: {command}")

    # Topics

    def _take_joints(self, message: JointState) -> None:
        received_s = time.monotonic()
        with self._changed:
            self._joints = dict(zip(message.name, message.position, strict=False))
            silent_s = received_s - self._received_s
            self._interrupted = self._interrupted or _SILENCE_S < silent_s < math.inf
            self._received_s = received_s
            self._changed.notify_all()

    def _take_limits(self, message: JointState) -> None:
        try:
            limits = joint_limits(message, self._fixed)
        except RobotError as error:
            self._node.get_logger().warning(f"joint_limits: {error}", throttle_duration_sec=10.0)
            return
        with self._changed:
            self._limits = limits
            self._changed.notify_all()

    def _take_homed(self, message: Bool) -> None:
        with self._changed:
            self._homed = bool(message.data)
            self._changed.notify_all()

    def _take_runstopped(self, message: Bool) -> None:
        with self._changed:
            self._runstopped = bool(message.data)
            # A pressed runstop may silence the joint states: whoever waits looks at once.
            self._changed.notify_all()

    def _take_streaming(self, message: Bool) -> None:
        with self._changed:
            self._streaming = bool(message.data)
            self._changed.notify_all()

    def _take_mode(self, message: String) -> None:
        with self._changed:
            self._mode = message.data
            self._changed.notify_all()

    def _take_odometry(self, message: Odometry) -> None:
        pose = message.pose.pose
        theta = 2.0 * math.atan2(pose.orientation.z, pose.orientation.w)
        values = (pose.position.x, pose.position.y, theta)
        if all(math.isfinite(value) for value in values):
            with self._changed:
                self._base = values

    def _joint(self, joints: Mapping[str, float], field: str) -> float:
        names = JOINTS[field]
        if field in self._fixed and not joints.keys() & set(names):
            return self._fixed[field]
        return float(named(joints, *names))

    def _aperture(self, joints: Mapping[str, float]) -> float:
        if "gripper_aperture" in joints:
            return float(named(joints, "gripper_aperture"))
        fingers = [float(named(joints, name)) for name in FINGERS]
        return finger_rad_to_aperture(sum(fingers) / len(fingers))
