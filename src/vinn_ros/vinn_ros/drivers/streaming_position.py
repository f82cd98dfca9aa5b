"""Stretch behind Hello Robot's `stretch_driver`, driven through its streaming position path.

`joint_pose_cmd` takes absolute targets for all joints but the base, and no guarded-contact
thresholds: the robot's own (its user parameters) apply. Nothing stops a position goal when its
sender dies, so only short increments are sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from vinn.errors import RobotError
from vinn.robot.config import RobotConfig
from vinn.robot.types import JointCommand

from vinn_ros.drivers.driver import Driver, DriverSettings
from vinn_ros.drivers.pose_command import HEAD_ENTRIES, PoseLayout, layout_of_tool
from vinn_ros.drivers.stretch_topics import StretchTopics
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import VinnNode

_TOPIC = "joint_pose_cmd"


class StreamingPositionDriver(StretchTopics):
    """A `vinn.robot.types.RobotDriver` over `joint_pose_cmd`."""

    def __init__(
        self,
        node: VinnNode,
        pose_layout: Sequence[str],
        gripper_unit: str,
        service_timeout_s: float,
    ) -> None:
        """Args: the node; entries of the vector (empty: by the tool) and unit of its gripper.

        Raises:
            vinn.errors.ConfigError: layout or unit is wrong.
        """
        super().__init__(node, service_timeout_s)
        self._unit = gripper_unit
        self._layout = PoseLayout(pose_layout, gripper_unit) if pose_layout else None
        self._commands = node.create_publisher(
            Float64MultiArray, _TOPIC, qos.STREAM, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self._gripper_m: float | None = None
        """The gripper's last target."""

    def start(self, config: RobotConfig) -> None:
        """Position mode, streaming on, limits known. Blocks; another thread spins.

        Raises:
            vinn.errors.RobotError: a service refused or did not answer.
            vinn.errors.ConfigError: the layout of the tool's vector is not known.
        """
        if self._layout is None:
            self._layout = PoseLayout(layout_of_tool(config.tool.name), self._unit)
        self._prepare(config, streaming=True)

    def stop(self) -> None:
        """Leave streaming, without waiting for the answer."""
        if self._deactivate.service_is_ready():
            self._deactivate.call_async(Trigger.Request())

    def send(self, command: JointCommand) -> JointCommand:
        """Publish targets for every joint.

        Raises:
            vinn.errors.RobotError: not finite, streaming is off, or nobody listens.
        """
        self._check_finite(command)
        with self._changed:
            head = {
                entry: self._joints[f"joint_{entry}"]
                for entry in HEAD_ENTRIES
                if f"joint_{entry}" in self._joints
            }
            streaming = self._streaming
        if self._layout is None or streaming is False:
            raise RobotError("is_streaming_position: false; allowed: true (someone switched it)")
        if self._commands.get_subscription_count() == 0:
            raise RobotError(f"{_TOPIC}: nobody listens")
        self._commands.publish(Float64MultiArray(data=self._layout.encode(command, head)))
        self._gripper_m = command.gripper_aperture_m
        return command

    def hold(self) -> None:
        """The measured pose becomes the target; the driver is asked to stop the base as well."""
        self._ask_to_stop()
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


def _build(node: VinnNode, settings: DriverSettings) -> StreamingPositionDriver:
    return StreamingPositionDriver(
        node, settings.pose_layout, settings.gripper_unit, settings.service_timeout_s
    )


DRIVER = Driver("streaming", _build)
