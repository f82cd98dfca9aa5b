"""A `stretch_driver` for tests: joints that move at a speed, faults on demand, commands kept."""

from __future__ import annotations

import math
import time
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger
from vinn_ros.drivers.pose_command import DEFAULT_LAYOUT, PoseLayout

from vinn_ros import qos

_PERIOD_S = 0.01
_SPEED = 0.3
_NAMES = {
    "joint_lift": "lift_m",
    "wrist_extension": "arm_m",
    "joint_wrist_yaw": "wrist_yaw_rad",
    "joint_wrist_pitch": "wrist_pitch_rad",
    "joint_wrist_roll": "wrist_roll_rad",
    "gripper_aperture": "gripper_aperture_m",
}
_LIMITS = {
    "joint_lift": (0.0, 1.1),
    "wrist_extension": (0.0, 0.52),
    "joint_wrist_yaw": (-1.4, 4.5),
    "joint_wrist_pitch": (-1.5, 0.4),
    "joint_wrist_roll": (-2.9, 2.9),
    "gripper_aperture": (-0.1, 0.068),
}


class FakeStretchDriver(Node):
    """Publishes and serves what `stretch_driver` does on its streaming position path."""

    def __init__(self) -> None:
        super().__init__("fake_stretch_driver", use_global_arguments=False)
        self.joints = {
            "joint_lift": 0.6,
            "wrist_extension": 0.2,
            "joint_wrist_yaw": 0.0,
            "joint_wrist_pitch": 0.0,
            "joint_wrist_roll": 0.0,
            "gripper_aperture": 0.06,
            "joint_head_pan": 0.3,
            "joint_head_tilt": -0.4,
        }
        self.base_x_m = 0.0
        self.hidden: set[str] = set()
        """Joints that are not published."""
        self.reverse = False
        self.silent = False
        self.stuck = False
        self.homed = True
        self.runstopped = False
        self.mode = "position"
        self.refuse: set[str] = set()
        self.commands: list[tuple[float, list[float]]] = []
        """Steady time and vector of each joint_pose_cmd."""
        self.services_called: list[str] = []
        self._target = dict(self.joints)
        self._base_target_m = 0.0
        self._layout = PoseLayout(DEFAULT_LAYOUT, "percent")
        group = ReentrantCallbackGroup()
        self._states = self.create_publisher(JointState, "stretch/joint_states", qos.STREAM)
        self._odometry = self.create_publisher(Odometry, "odom", qos.STREAM)
        self._limits = self.create_publisher(JointState, "joint_limits", qos.STREAM)
        self._homed = self.create_publisher(Bool, "is_homed", qos.STREAM)
        self._runstopped = self.create_publisher(Bool, "is_runstopped", qos.STREAM)
        self._mode = self.create_publisher(String, "mode", qos.STREAM)
        self.create_subscription(
            Float64MultiArray, "joint_pose_cmd", self._take, qos.STREAM, callback_group=group
        )
        for name in (
            "switch_to_position_mode",
            "activate_streaming_position",
            "deactivate_streaming_position",
            "stop_the_robot",
            "get_joint_states",
        ):
            self.create_service(Trigger, name, self._answer(name), callback_group=group)
        self.create_timer(_PERIOD_S, self._tick, callback_group=ReentrantCallbackGroup())

    def _answer(self, name: str) -> Any:
        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            self.services_called.append(name)
            if name == "get_joint_states":
                self._limits.publish(
                    JointState(
                        name=list(_LIMITS),
                        position=[lower for lower, _ in _LIMITS.values()],
                        velocity=[upper for _, upper in _LIMITS.values()],
                    )
                )
            response.success = name not in self.refuse
            response.message = "" if response.success else "not now"
            return response

        return answer

    def _take(self, message: Float64MultiArray) -> None:
        self.commands.append((time.monotonic(), list(message.data)))
        command = self._layout.decode(message.data)
        for name, field in _NAMES.items():
            self._target[name] = getattr(command, field)
        if command.base_translate_m:
            self._base_target_m = self.base_x_m + command.base_translate_m

    def _tick(self) -> None:
        if not (self.stuck or self.runstopped):
            reach = _SPEED * _PERIOD_S
            for name in _NAMES:
                left = self._target[name] - self.joints[name]
                self.joints[name] += math.copysign(min(abs(left), reach), left)
            left = self._base_target_m - self.base_x_m
            self.base_x_m += math.copysign(min(abs(left), reach), left)
        self._homed.publish(Bool(data=self.homed))
        self._runstopped.publish(Bool(data=self.runstopped))
        self._mode.publish(String(data=self.mode))
        if self.silent:
            return
        names = [name for name in self.joints if name not in self.hidden]
        if self.reverse:
            names.reverse()
        self._states.publish(JointState(name=names, position=[self.joints[n] for n in names]))
        odometry = Odometry()
        odometry.pose.pose.position.x = self.base_x_m
        odometry.pose.pose.orientation.w = 1.0
        self._odometry.publish(odometry)
