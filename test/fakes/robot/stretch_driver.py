"""A `stretch_driver` for tests: what the real one publishes, serves and gets wrong.

Written from the behaviour of Hello Robot's stretch_driver (ROS 2 Humble). In a test:

    from stretch_driver import FakeStretchDriver
    robot = ros.add(FakeStretchDriver())        # ros: test/ros/ros_harness.py, or any executor

Faults, all switchable at any time (plain attributes; thread-safe to assign):

    robot.homed = False                  # is_homed; home_the_robot sets it (after home_s)
    robot.press_runstop()                # joints stop; while a trajectory goal runs, topics fall
    robot.release_runstop()              #   silent and services hang until the goal ends. Release
                                         #   goes back to the old mode by itself
    robot.mode = "navigation"            # position, navigation, trajectory, runstopped, homing
    robot.battery_v = 9.5                # battery
    robot.tool_name = "tool_none"        # tool
    robot.silent = True                  # every topic falls silent
    robot.silent_topics = {"odom"}       # only these do
    robot.hidden = {"joint_wrist_roll"}  # joints left out of joint_states
    robot.extra = {"joint_tail": 1.0}    # unknown joints added to joint_states
    robot.overrides = {"joint_lift": nan}  # values published instead of the measured ones
    robot.reverse = True                 # joint_states in reversed order
    robot.joints.stuck = {"all"}         # stall: joints accept targets and do not move
    robot.joints.pushing = {"wrist_extension": 60.0}  # guarded contact above its threshold [%]
    robot.joints.grip_m = 0.014          # something between the fingers
    robot.refuse = {"switch_to_position_mode"}  # services that answer success=False
    robot.mute = {"activate_streaming_position"}  # services that never answer (until removed)
    robot.delay_s = {"stop_the_robot": 0.5}       # services that answer late
    robot.goal_timeout_s = 10.0          # of each trajectory point: PATH_TOLERANCE_VIOLATED
    robot.reject_goals = True            # FollowJointTrajectory goals are rejected

The same for a process of its own (`python test/fakes/robot/stretch_driver.py --ros-args -p
silent:=true`, `ros2 param set`): parameters homed, runstopped, mode, battery_v, tool_name, silent,
stuck, reverse, reject_goals, hidden, refuse, mute.

What it saw:

    robot.commands                       # every motion command: MotionCommand, in order
    robot.motions()                      # those that were accepted and move something (no holds)
    robot.last_motion_s                  # steady time of the last of these, -inf: none
    robot.services_called                # (steady_s, name) of every service call
    robot.joints.position["joint_lift"]  # where it is; robot.joints.base_x_m, ...

The FollowJointTrajectory action is served where control_msgs is installed (`HAS_TRAJECTORY`).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import rclpy
import stretch_joints as sj
from motion_log import MotionCommand, MotionLog
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import BatteryState, JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from stretch_joints import StretchJoints
from stretch_messages import joint_limits, joint_states, odometry

try:
    from stretch_trajectory_server import TrajectoryServer
except ImportError:  # no control_msgs
    TrajectoryServer = None

HAS_TRAJECTORY = TrajectoryServer is not None

POSE = (sj.ARM, sj.LIFT, sj.YAW, sj.PITCH, sj.ROLL, sj.PAN, sj.TILT, sj.GRIPPER)
"""The first entries of joint_pose_cmd with the dexterous wrist; then base translate and rotate."""

_PERIOD_S = 0.01
_MODES = ("position", "navigation", "trajectory")


class FakeStretchDriver(Node):
    """See the module's head."""

    def __init__(
        self, rate_hz: float = 30.0, gripper_unit: str = "finger_rad", namespace: str = ""
    ) -> None:
        """Args: rate of the topics; finger_rad as newer drivers take it, or percent as older."""
        super().__init__("stretch_driver", namespace=namespace, use_global_arguments=False)
        self.joints = StretchJoints()
        self.gripper_unit = gripper_unit
        self.homed = True
        self.home_s = 0.3
        self.mode = "position"
        self.streaming = False
        self.battery_v = 12.6
        self.tool_name = "tool_stretch_dex_wrist"
        self.silent = False
        self.silent_topics: set[str] = set()
        self.hidden: set[str] = set()
        self.extra: dict[str, float] = {}
        self.overrides: dict[str, float] = {}
        self.reverse = False
        self.refuse: set[str] = set()
        self.mute: set[str] = set()
        self.delay_s: dict[str, float] = {}
        self.goal_timeout_s = 10.0
        self.reject_goals = False
        self._motion_log = MotionLog()
        self.commands = self._motion_log.commands
        self.services_called: list[tuple[float, str]] = []
        self._runstopped = False
        self._mode_before_runstop = "position"
        self._mode_locks = 0
        """Trajectory goals that run (or leaked their lock): modes cannot change meanwhile."""
        self._closing = threading.Event()
        self._make_topics()
        self._make_services()
        self._make_parameters()
        self.trajectory = TrajectoryServer(self) if TrajectoryServer is not None else None
        self._ticked_s = time.monotonic()
        self.create_timer(_PERIOD_S, self._tick, callback_group=MutuallyExclusiveCallbackGroup())
        self.create_timer(
            1.0 / rate_hz, self._publish, callback_group=MutuallyExclusiveCallbackGroup()
        )

    # What tests use

    def press_runstop(self) -> None:
        """The button on the robot: the joints stop and the mode changes."""
        self._runstopped = True
        self.joints.stop()

    def release_runstop(self) -> None:
        """Back to the mode before; a goal that still runs goes on waiting."""
        self._runstopped = False

    @property
    def runstopped(self) -> bool:
        return self._runstopped

    def motions(self) -> list[MotionCommand]:
        """Accepted commands that move something."""
        return self._motion_log.motions()

    @property
    def last_motion_s(self) -> float:
        return self._motion_log.last_motion_s

    def take_down(self) -> None:
        """Let go of whoever waits for a muted service."""
        self._closing.set()

    # Used by the trajectory server as well

    @property
    def closing(self) -> bool:
        return self._closing.is_set()

    def record(
        self,
        path: str,
        targets: Mapping[str, float],
        refused: str = "",
        vector: tuple[float, ...] = (),
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        """Remember a motion command."""
        self._motion_log.record(path, targets, refused, vector, thresholds)

    def lock_mode(self) -> None:
        self._mode_locks += 1

    def unlock_mode(self) -> None:
        self._mode_locks -= 1

    # Topics

    def _make_topics(self) -> None:
        def publisher(message_type: type, name: str) -> Any:
            return self.create_publisher(message_type, name, 1)

        self._topics = {
            "stretch/joint_states": publisher(JointState, "stretch/joint_states"),
            "odom": publisher(Odometry, "odom"),
            "is_homed": publisher(Bool, "is_homed"),
            "is_runstopped": publisher(Bool, "is_runstopped"),
            "is_streaming_position": publisher(Bool, "is_streaming_position"),
            "mode": publisher(String, "mode"),
            "tool": publisher(String, "tool"),
            "battery": publisher(BatteryState, "battery"),
        }
        self._limits = publisher(JointState, "joint_limits")
        self.create_subscription(
            Float64MultiArray,
            "joint_pose_cmd",
            self._take_pose,
            1,
            callback_group=ReentrantCallbackGroup(),
        )

    def _publish(self) -> None:
        """As the driver's one timer does; a mode that cannot change blocks it."""
        runstop_pending = self._runstopped != (self.mode == "runstopped")
        self._send("is_runstopped", Bool(data=self._runstopped))
        if runstop_pending:
            if self._mode_locks:
                # The driver waits for its mode lock in this timer: everything is silent.
                return
            if self._runstopped:
                self._mode_before_runstop, self.mode = self.mode, "runstopped"
            else:
                self.mode = self._mode_before_runstop
        measured, (x, y, theta) = self.joints.snapshot()
        self._motion_log.published(measured)
        stamp = self.get_clock().now().to_msg()
        states = joint_states(
            measured, self.extra | self.overrides, self.hidden, self.reverse, stamp
        )
        self._send("odom", odometry(x, y, theta, stamp))
        self._send("is_homed", Bool(data=self.homed))
        self._send("is_streaming_position", Bool(data=self.streaming))
        self._send("mode", String(data=self.mode))
        self._send("tool", String(data=self.tool_name))
        # The real driver leaves percentage undefined.
        self._send("battery", BatteryState(voltage=self.battery_v, percentage=math.nan))
        self._send("stretch/joint_states", states)

    def _send(self, topic: str, message: Any) -> None:
        if not self.silent and topic not in self.silent_topics:
            self._topics[topic].publish(message)

    def _tick(self) -> None:
        now_s = time.monotonic()
        seconds, self._ticked_s = min(now_s - self._ticked_s, 0.1), now_s
        if not self._runstopped:
            self.joints.advance(seconds)

    # The streaming position path

    def _take_pose(self, message: Float64MultiArray) -> None:
        vector = tuple(message.data)
        targets = dict(zip((*POSE, sj.TRANSLATE, sj.ROTATE), vector, strict=False))
        if sj.GRIPPER in targets:
            to_aperture = (
                sj.finger_rad_to_aperture
                if self.gripper_unit == "finger_rad"
                else sj.percent_to_aperture
            )
            targets[sj.GRIPPER] = to_aperture(targets[sj.GRIPPER])
        refused = ""
        if not self.streaming:
            refused = "streaming position is not activated"
        elif self.mode not in ("position", "navigation"):
            refused = f"mode is {self.mode}"
        elif len(vector) != len(POSE) + 2:
            refused = f"{len(vector)} entries"
        self.record("streaming", targets, refused, vector)
        if refused or self._runstopped:
            return
        for joint in POSE:
            self.joints.move_to(joint, targets[joint])
        if self.mode == "position":
            for joint in (sj.TRANSLATE, sj.ROTATE):
                if abs(targets[joint]) > 0.0:
                    self.joints.move_base(joint, targets[joint])
                    break

    # Services

    def _make_services(self) -> None:
        group = ReentrantCallbackGroup()
        for name, action in {
            "switch_to_position_mode": lambda: self._change_mode("position"),
            "switch_to_navigation_mode": lambda: self._change_mode("navigation"),
            "switch_to_trajectory_mode": lambda: self._change_mode("trajectory"),
            "activate_streaming_position": lambda: self._set_streaming(True),
            "deactivate_streaming_position": lambda: self._set_streaming(False),
            "stop_the_robot": self._stop_the_robot,
            "home_the_robot": self._home,
            "get_joint_states": self._publish_limits,
        }.items():
            self.create_service(Trigger, name, self._answer(name, action), callback_group=group)
        self.create_service(SetBool, "runstop", self._set_runstop, callback_group=group)

    def _answer(self, name: str, action: Any) -> Any:
        def answer(request: Any, response: Trigger.Response) -> Trigger.Response:
            self.services_called.append((time.monotonic(), name))
            self._closing.wait(self.delay_s.get(name, 0.0))
            while name in self.mute and not self._closing.wait(0.02):
                pass
            if name in self.refuse:
                response.success, response.message = False, "not now"
                return response
            response.message = action() or ""
            response.success = not response.message
            return response

        return answer

    def _change_mode(self, mode: str) -> str:
        """Waits, without a time limit, for trajectory goals that run."""
        while self._mode_locks and not self._closing.wait(0.02):
            pass
        if self._runstopped:
            # The real driver changes it all the same; the motors stay off.
            self._mode_before_runstop = mode
        else:
            self.mode = mode
        return ""

    def _set_streaming(self, on: bool) -> str:
        self.streaming = on
        return ""

    def _stop_the_robot(self) -> str:
        """Leaves wrist pitch and roll going, and a running goal waiting."""
        self.joints.stop(sj.ARM, sj.LIFT, sj.PAN, sj.TILT, sj.YAW, sj.GRIPPER, sj.TRANSLATE)
        return ""

    def _home(self) -> str:
        if self.mode not in _MODES:
            return f"Cannot home while in mode={self.mode}."
        before = self.mode
        self._change_mode("homing")
        self._closing.wait(self.home_s)
        self.homed = True
        self._change_mode(before)
        return ""

    def _publish_limits(self) -> str:
        self._limits.publish(joint_limits())
        return ""

    def _set_runstop(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        self.services_called.append((time.monotonic(), "runstop"))
        if request.data:
            self.press_runstop()
        else:
            self.release_runstop()
        response.success = True
        return response

    # Parameters: the same faults from another process

    def _make_parameters(self) -> None:
        defaults = (
            ("homed", True),
            ("runstopped", False),
            ("mode", "position"),
            ("battery_v", 12.6),
            ("tool_name", self.tool_name),
            ("silent", False),
            ("stuck", False),
            ("reverse", False),
            ("reject_goals", False),
            ("hidden", [""]),
            ("refuse", [""]),
            ("mute", [""]),
        )
        self._take_parameters([self.declare_parameter(*entry) for entry in defaults])
        self.add_on_set_parameters_callback(self._take_parameters)

    def _take_parameters(self, parameters: list[Any]) -> SetParametersResult:
        for parameter in parameters:
            value = parameter.value
            if parameter.name == "runstopped":
                self.press_runstop() if value else self.release_runstop()
            elif parameter.name == "stuck":
                self.joints.stuck = {"all"} if value else set()
            elif parameter.name in ("hidden", "refuse", "mute"):
                setattr(self, parameter.name, set(value) - {""})
            else:
                setattr(self, parameter.name, value)
        return SetParametersResult(successful=True)


def main() -> None:
    """A process of its own."""
    rclpy.init()
    node = FakeStretchDriver()
    executor = MultiThreadedExecutor(num_threads=8)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.take_down()


if __name__ == "__main__":
    main()
