"""The node that stands in for the robot: MuJoCo behind the interfaces of `stretch_driver`."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import BatteryState, CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from vinn.errors import RobotError, VinnError
from vinn.robot.arrival import wrap_angle
from vinn.robot.config import RobotConfig, load_robot_config
from vinn.sim.cabinets import CABINETS, cabinet_named
from vinn.sim.difficulty import DIFFICULTIES, difficulty_named
from vinn.sim.driver import SimulatedStretch
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.stretch_model import WristCamera
from vinn.sim.world import DoorWorld

from vinn_msgs.msg import SceneStatus
from vinn_msgs.srv import ResetScene
from vinn_ros.conversions import compress, to_image
from vinn_ros.drivers.pose_command import (
    DEFAULT_LAYOUT,
    GRIPPER_UNITS,
    PoseLayout,
)
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import ERROR, OK, Diagnosis, VinnNode
from vinn_ros.node.main import run_node
from vinn_ros.node.node_executor import QuickGroup
from vinn_ros.node.parameters import Parameter
from vinn_ros.paths import config_file
from vinn_ros.sim import messages as sim_messages
from vinn_ros.sim.world_thread import Outputs, Rates, Simulation

CAMERA_FRAME = "wrist_camera_optical_frame"
OVERVIEW_FRAME = "overview_camera_optical_frame"
_SLOW_PERIOD_S = 0.1
_SERVICE_TIMEOUT_S = 5.0


def _rate(name: str, default: float, lower: float, what: str) -> Parameter:
    return Parameter(name, default, f"rate of {what}", unit="Hz", lower=lower, upper=200.0)


class StretchSimNode(VinnNode):
    """Publishes what `stretch_driver` and the wrist camera would, and takes what they take."""

    NAME = "stretch_sim"
    PARAMETERS = (
        Parameter(
            "cabinet",
            "oak",
            f"{', '.join(CABINETS)}, or sampled-SEED for one never seen; from the next reset on",
            run_time=True,
        ),
        Parameter(
            "difficulty",
            "easy",
            "of the scene; from the next reset on",
            choices=tuple(DIFFICULTIES),
            run_time=True,
        ),
        Parameter(
            "occlusion",
            Occlusion.NONE.value,
            "what is covered with plain material; from the next reset on",
            choices=tuple(occlusion.value for occlusion in Occlusion),
            run_time=True,
        ),
        Parameter(
            "reset_offset",
            "none",
            "none: a reset puts the robot at the nominal start pose; "
            "drawn: displaced as the difficulty and the seed say",
            choices=("none", "drawn"),
            run_time=True,
        ),
        Parameter("robot_config", "", "YAML file of vinn.robot: tool, camera mount, start pose"),
        Parameter(
            "camera_misroll_rad",
            0.0,
            "the camera is mounted turned by this about its optical axis from what robot_config "
            "says; 3.1416: upside down",
            unit="rad",
            lower=-3.2,
            upper=3.2,
        ),
        Parameter("pose_layout", list(DEFAULT_LAYOUT), "entries of joint_pose_cmd, in order"),
        Parameter(
            "gripper_unit", "finger_rad", "unit of joint_pose_cmd's gripper", choices=GRIPPER_UNITS
        ),
        Parameter(
            "real_time_factor",
            0.0,
            "simulated seconds per second; 0: as fast as it goes while something moves",
            lower=0.0,
            upper=100.0,
        ),
        _rate("joint_state_rate_hz", 100.0, 1.0, "stretch/joint_states and odom"),
        _rate("camera_rate_hz", 15.0, 0.5, "the wrist camera"),
        _rate("overview_rate_hz", 1.0, 0.0, "the overview camera (0: none)"),
        _rate("scene_rate_hz", 10.0, 0.5, "scene/status"),
        Parameter(
            "camera_width_px", 224, "width of the wrist camera", unit="px", lower=32, upper=1920
        ),
        Parameter(
            "camera_height_px", 224, "height of the wrist camera", unit="px", lower=32, upper=1080
        ),
    )

    def __init__(self, cli_args: list[str] | None = None) -> None:
        """See `VinnNode`."""
        super().__init__(cli_args)
        self._simulation: Simulation | None = None
        self._layout = PoseLayout(self.value("pose_layout"), self.value("gripper_unit"))
        self._robot_config = RobotConfig()
        self._streaming = False
        self._refused_commands = 0
        self._last_joints = JointState()
        self._joints = self._advertise(JointState, "stretch/joint_states")
        self._odometry = self._advertise(Odometry, "odom")
        self._limits = self._advertise(JointState, "joint_limits")
        self._homed = self._advertise(Bool, "is_homed")
        self._runstopped = self._advertise(Bool, "is_runstopped")
        self._mode = self._advertise(String, "mode")
        self._tool = self._advertise(String, "tool")
        self._battery = self._advertise(BatteryState, "battery")
        self._wrist = self._advertise(CompressedImage, "wrist_camera/image_raw/compressed")
        self._wrist_raw = self._advertise(Image, "wrist_camera/image_raw")
        self._camera_info = self._advertise(CameraInfo, "wrist_camera/camera_info")
        self._overview = self._advertise(CompressedImage, "overview_camera/image_raw/compressed")
        self._scene = self._advertise(SceneStatus, "scene/status")
        commands = QuickGroup()
        self.subscribe(
            Float64MultiArray, "joint_pose_cmd", self._take_command, qos.STREAM, commands
        )
        services = MutuallyExclusiveCallbackGroup()
        for name, action in self._triggers().items():
            self.serve(Trigger, name, _answering(self._with_robot, action), services)
        self.serve(SetBool, "runstop", self._set_runstop, services)
        self.serve(ResetScene, "scene/reset", self._reset, MutuallyExclusiveCallbackGroup())
        self.every(_SLOW_PERIOD_S, self._publish_flags, QuickGroup())

    # Lifecycle

    def configure(self) -> None:
        """Build the scene: model, meshes, textures."""
        self._robot_config = load_robot_config(
            config_file(self.value("robot_config"), "robot_config")
        )
        overview_hz = self.value("overview_rate_hz")
        simulation = Simulation(
            self._scene_config(),
            self.value("real_time_factor"),
            Rates(
                joints_hz=self.value("joint_state_rate_hz"),
                wrist_hz=self.value("camera_rate_hz"),
                overview_hz=overview_hz,
                scene_hz=self.value("scene_rate_hz"),
            ),
            Outputs(
                joints=self._publish_joints,
                wrist=self._publish_wrist,
                overview=self._publish_overview,
                scene=self._publish_scene,
            ),
        )
        simulation.start()
        self._simulation = simulation

    def cleanup(self) -> None:
        """End the simulation."""
        if self._simulation is not None:
            self._simulation.stop()
            self._simulation = None

    def parameters_changed(self, values: dict[str, Any]) -> None:
        """Refuse a cabinet that does not exist, before the next reset finds out."""
        if "cabinet" in values:
            cabinet_named(values["cabinet"])

    def diagnose(self) -> Diagnosis:
        """A simulation that ended by itself is an error."""
        values = {"refused_commands": self._refused_commands, "streaming": self._streaming}
        if self._simulation is not None and self._simulation.failure is not None:
            return ERROR, f"the simulation ended: {self._simulation.failure}", values
        return OK, "active" if self.active else "not active", values

    # What comes in

    def _take_command(self, message: Float64MultiArray) -> None:
        """Pass a command on to the robot, as `stretch_driver` does while streaming is on."""
        if self._simulation is None or not self.active:
            return
        try:
            if not self._streaming:
                raise RobotError("joint_pose_cmd: streaming position is not activated")
            self._simulation.command(self._layout.decode(message.data)).add_done_callback(
                self._note_refusal
            )
        except RobotError as error:
            self._refuse_command(error)

    def _note_refusal(self, done: concurrent.futures.Future[Any]) -> None:
        error = done.exception()
        if error is not None:
            self._refuse_command(error)

    def _refuse_command(self, error: BaseException) -> None:
        self._refused_commands += 1
        self.get_logger().warning(str(error), throttle_duration_sec=1.0)

    def _triggers(self) -> dict[str, Callable[[SimulatedStretch], None]]:
        """Services of `stretch_driver` that take no argument."""
        return {
            "switch_to_position_mode": lambda robot: robot.set_mode("position"),
            "switch_to_navigation_mode": lambda robot: robot.set_mode("navigation"),
            "switch_to_trajectory_mode": lambda robot: robot.set_mode("trajectory"),
            "activate_streaming_position": lambda robot: self._set_streaming(True),
            "deactivate_streaming_position": lambda robot: self._set_streaming(False),
            "stop_the_robot": lambda robot: robot.hold(),
            "home_the_robot": lambda robot: robot.set_homed(True),
            "get_joint_states": lambda robot: self._limits.publish(
                sim_messages.joint_limits(robot.limits(), self._now())
            ),
        }

    def _set_streaming(self, on: bool) -> None:
        self._streaming = on

    def _with_robot(self, action: Callable[[SimulatedStretch], Any], timeout_s: float) -> None:
        """Do something in the simulation's thread and wait for it.

        Raises:
            vinn.errors.RobotError: not configured, or not done in time.
        """
        if self._simulation is None:
            raise RobotError("stretch_sim: not configured")
        try:
            self._simulation.submit(action).result(timeout=timeout_s)
        except concurrent.futures.TimeoutError as error:
            raise RobotError(f"stretch_sim: not done in {timeout_s:g} s") from error

    def _set_runstop(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        pressed = bool(request.data)
        answer = _answering(self._with_robot, lambda robot: robot.set_runstop(pressed))
        answer(request, response)
        self._publish_flags()
        return response

    def _reset(
        self, request: ResetScene.Request, response: ResetScene.Response
    ) -> ResetScene.Response:
        """A new episode; joint states go on while another scene is built."""
        try:
            if self._simulation is None or not self.active:
                raise RobotError("stretch_sim: not active")
            scene = self._scene_config()
            seed = int(request.seed)
            drawn = self.value("reset_offset") == "drawn"
            offset_m = scene.difficulty.start_offset(seed) if drawn else np.zeros(3)
            done = self._simulation.reset(scene, seed, offset_m)
            while True:
                try:
                    done.result(timeout=0.1)
                    break
                except concurrent.futures.TimeoutError:
                    self._repeat_joints()
        except VinnError as error:
            response.success, response.message = False, str(error)
        else:
            response.success = True
            response.message = f"{scene.cabinet.name}, {scene.difficulty.name}, seed {seed}"
        return response

    # What goes out

    def _publish_joints(self, robot: SimulatedStretch) -> None:
        stamp = self._now()
        self._last_joints = sim_messages.joint_states(robot.world, stamp)
        self._joints.publish(self._last_joints)
        self._odometry.publish(sim_messages.odometry(robot.world, stamp))

    def _repeat_joints(self) -> None:
        """The robot stands still while its scene is rebuilt: say so, silence would be a fault."""
        message = self._last_joints
        message.header.stamp = self._now()
        message.velocity = [0.0] * len(message.name)
        self._joints.publish(message)

    def _publish_flags(self) -> None:
        """What `stretch_driver` publishes slowly."""
        simulation = self._simulation
        if simulation is None or not self.active:
            return
        state = simulation.state
        self._homed.publish(Bool(data=state.homed))
        self._runstopped.publish(Bool(data=state.runstopped))
        self._mode.publish(String(data=state.mode))
        self._tool.publish(String(data=self._robot_config.tool.name))
        self._battery.publish(BatteryState(voltage=12.5, percentage=1.0, present=True))

    def _publish_wrist(self, take: Callable[[], NDArray[np.uint8]]) -> None:
        stamp = self._now()
        image_rgb = take()
        self._wrist.publish(compress(image_rgb, stamp, CAMERA_FRAME))
        if self._wrist_raw.get_subscription_count() > 0:
            self._wrist_raw.publish(to_image(image_rgb, stamp, CAMERA_FRAME))
        self._camera_info.publish(sim_messages.camera_info(self._camera(), stamp, CAMERA_FRAME))

    def _publish_overview(self, take: Callable[[], NDArray[np.uint8]]) -> None:
        if self._overview.get_subscription_count() > 0:
            stamp = self._now()
            self._overview.publish(compress(take(), stamp, OVERVIEW_FRAME))

    def _publish_scene(self, world: DoorWorld) -> None:
        self._scene.publish(sim_messages.scene_status(world, self._now()))

    # Inside

    def _now(self) -> Time:
        stamp: Time = self.get_clock().now().to_msg()
        return stamp

    def _advertise(self, message_type: type, topic: str) -> Any:
        return self.create_lifecycle_publisher(message_type, topic, qos.STREAM)

    def _camera(self) -> WristCamera:
        mount = self._robot_config.camera
        roll_rad = wrap_angle(mount.roll_rad + self.value("camera_misroll_rad"))
        return WristCamera(
            mount=mount.model_copy(update={"roll_rad": roll_rad}),
            width_px=self.value("camera_width_px"),
            height_px=self.value("camera_height_px"),
        )

    def _scene_config(self) -> SceneConfig:
        return SceneConfig(
            cabinet=cabinet_named(self.value("cabinet")),
            difficulty=difficulty_named(self.value("difficulty")),
            occlusion=Occlusion(self.value("occlusion")),
            camera=self._camera(),
            tool=self._robot_config.tool,
            start_pose=self._robot_config.start_pose,
        )


def _answering(
    do: Callable[[Callable[[SimulatedStretch], Any], float], None],
    action: Callable[[SimulatedStretch], Any],
) -> Callable[[Any, Any], Any]:
    """A service callback that does `action` and answers whether it worked."""

    def answer(request: Any, response: Any) -> Any:
        try:
            do(action, _SERVICE_TIMEOUT_S)
        except VinnError as error:
            response.success, response.message = False, str(error)
        else:
            response.success, response.message = True, ""
        return response

    return answer


NODE = StretchSimNode


def main() -> None:
    """Run the node."""
    run_node(NODE)
