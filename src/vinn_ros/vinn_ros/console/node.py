"""The operator's web page as a node. Nothing depends on it: if it dies, the robot does not care."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.parameter import Parameter as RclpyParameter
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import SetBool, Trigger
from vinn.errors import ConfigError, RobotError

from vinn_msgs.msg import ExecutorStatus, Prediction, RolloutStatus, SceneStatus
from vinn_msgs.srv import DriveStep, LabelRollout, StartRollout
from vinn_ros.console.access import Access
from vinn_ros.console.backend import Picture
from vinn_ros.console.state import Board
from vinn_ros.console.token import read_token
from vinn_ros.node import qos
from vinn_ros.node.calls import call
from vinn_ros.node.lifecycle import OK, Diagnosis, VinnNode
from vinn_ros.node.main import run_node
from vinn_ros.node.node_executor import QuickGroup
from vinn_ros.node.parameters import Parameter
from vinn_ros.tuning import ATTEMPTS, TUNING

TUNABLE: Mapping[str, str] = {
    "k": "vinn_policy",
    **{parameter.name: "stretch_executor" for parameter in TUNING},
    "step_mode": "rollout_supervisor",
}
"""Parameters the page offers, and whose they are."""
_ANSWER_S = 5.0
_STEP_S = 30.0
"""A step by hand answers when it has ended."""
_RESET_S = 900.0
"""A reset may wait for the operator to say that the environment is ready."""
_PARAMETER_PERIOD_S = 1.0


class OperatorConsoleNode(VinnNode):
    """`vinn_ros.console.backend.Backend` over topics and services."""

    NAME = "operator_console"
    PARAMETERS = (
        Parameter("host", "127.0.0.1", "address to listen on; other than loopback needs a token"),
        Parameter("port", 8765, "TCP port; 0: any free one", lower=0, upper=65535),
        Parameter(
            "token_file",
            "",
            "file (mode 600) with what a browser must show, as ?token=...; empty: the environment "
            "variable VINN_CONSOLE_TOKEN; neither: loopback only",
        ),
        Parameter("recordings", "runs/rollouts", "directory of the recordings"),
    )

    def __init__(self, cli_args: list[str] | None = None) -> None:
        """See `VinnNode`."""
        super().__init__(cli_args)
        self._board = Board()
        self._server: Any = None
        self._pictures: dict[str, Picture] = {}
        self._viewers = 0
        self._mosaic: Any = None
        self._group = MutuallyExclusiveCallbackGroup()
        services = ReentrantCallbackGroup()

        def client(service_type: Any, name: str) -> Any:
            return self.create_client(service_type, name, callback_group=services)

        self._stops = [
            client(Trigger, "supervisor/stop_rollout"),
            client(Trigger, "executor/stop"),
        ]
        self._triggers = {
            "reset": (client(Trigger, "supervisor/reset"), _RESET_S),
            "ready": (client(Trigger, "supervisor/environment_ready"), _ANSWER_S),
            "step": (client(Trigger, "supervisor/step"), _ANSWER_S),
            "clear_latch": (client(Trigger, "executor/clear_latch"), _ANSWER_S),
        }
        self._start = client(StartRollout, "supervisor/start_rollout")
        self._label = client(LabelRollout, "supervisor/label_rollout")
        self._take_over = client(SetBool, "supervisor/take_over")
        self._drive = client(DriveStep, "supervisor/drive")
        owners = sorted(set(TUNABLE.values()))
        self._setters = {name: client(SetParameters, f"{name}/set_parameters") for name in owners}
        self._getters = {name: client(GetParameters, f"{name}/get_parameters") for name in owners}
        board = self._board
        for message_type, topic, take in (
            (RolloutStatus, "supervisor/status", board.take_supervisor),
            (ExecutorStatus, "executor/status", board.take_executor),
            (Prediction, "policy/prediction", board.take_prediction),
            (SceneStatus, "scene/status", board.take_scene),
            (DiagnosticArray, "/diagnostics", board.take_diagnostics),
        ):
            self.subscribe(message_type, topic, take, qos.STREAM, MutuallyExclusiveCallbackGroup())
        self.subscribe_sensor(
            CompressedImage,
            "wrist_camera/image_raw/compressed",
            lambda image: self._take_picture("wrist", image),
            qos.STREAM,
            MutuallyExclusiveCallbackGroup(),
        )
        self.every(0.5, self._look_at_mosaic, self._group)
        self.every(_PARAMETER_PERIOD_S, self._ask_parameters, self._group)

    # Lifecycle

    def configure(self) -> None:
        """Check who may come in, and begin to serve."""
        try:
            from vinn_ros.console.recordings import RecordingPages
            from vinn_ros.console.server import ConsoleServer
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"module {error.name!r} is not installed: pip install 'vinn[console]'"
            ) from error
        access = Access(self.value("host"), read_token(self.value("token_file")))
        recordings = RecordingPages(
            Path(self.value("recordings")).absolute(), lambda: self._board.parameter("policy", "")
        )
        self._server = ConsoleServer(self, access, self.value("port"), recordings)
        self._server.start()
        self.get_logger().info(f"operator console: {self._server.url}")

    def cleanup(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def deactivate(self) -> None:
        """The page goes with the node's end, in `cleanup`."""

    def diagnose(self) -> Diagnosis:
        """Where the page is, and how many look at it."""
        values = {"url": self._server.url if self._server else "", "viewers": self._viewers}
        return OK, "active" if self.active else "not active", values

    # vinn_ros.console.backend.Backend

    def snapshot(self) -> dict[str, Any]:
        """See `Backend.snapshot`."""
        return self._board.snapshot()

    def wrist(self) -> Picture | None:
        """See `Backend.wrist`."""
        return self._pictures.get("wrist")

    def mosaic(self) -> Picture | None:
        """See `Backend.mosaic`."""
        return self._pictures.get("mosaic")

    def watched(self, viewers: int) -> None:
        """See `Backend.watched`."""
        self._viewers = viewers

    def stop(self) -> None:
        """See `Backend.stop`: both are asked, so that one of them may hang."""
        for client in self._stops:
            if client.service_is_ready():
                client.call_async(Trigger.Request())

    def run(self, command: str, arguments: Mapping[str, Any]) -> tuple[bool, str]:
        """See `Backend.run`."""
        try:
            if command in self._triggers:
                client, timeout_s = self._triggers[command]
                answer = call(client, Trigger.Request(), timeout_s)
                return answer.success, answer.message
            if command == "start":
                return self._run_start(arguments)
            if command == "label":
                return self._run_label(arguments)
            if command == "take_over":
                control = SetBool.Request(data=arguments["mine"] is True)
                given = call(self._take_over, control, _ANSWER_S)
                return given.success, given.message
            if command == "drive":
                return self._run_drive(arguments)
            return self._set_parameter(arguments)
        except RobotError as error:
            return False, str(error)
        except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
            return False, f"{command}: {dict(arguments)}: not understood ({error})"

    # Inside

    def _run_start(self, arguments: Mapping[str, Any]) -> tuple[bool, str]:
        request = StartRollout.Request(
            name=str(arguments.get("name", "")),
            max_steps=int(arguments.get("max_steps", 0)),
            attempts=int(arguments.get("attempts", 0)),
            driven=arguments.get("driven", False) is True,
        )
        answer = call(self._start, request, _ANSWER_S)
        return answer.accepted, answer.session or f"{answer.reason}: {answer.message}"

    def _run_drive(self, arguments: Mapping[str, Any]) -> tuple[bool, str]:
        x, y, z = (float(value) for value in arguments["camera_delta"])
        request = DriveStep.Request(
            session=str(arguments["session"]),
            after_step=int(arguments["after_step"]),
            camera_delta=Vector3(x=x, y=y, z=z),
            gripper=DriveStep.Request.CLOSE if arguments["close"] is True else 0,
        )
        answer = call(self._drive, request, _STEP_S)
        return answer.success, answer.message or answer.reason

    def _run_label(self, arguments: Mapping[str, Any]) -> tuple[bool, str]:
        request = LabelRollout.Request(
            session=str(arguments.get("session", "")),
            success=arguments["success"] is True,
            note=str(arguments.get("note", "")),
        )
        answer = call(self._label, request, _ANSWER_S)
        return answer.success, answer.message

    def _set_parameter(self, arguments: Mapping[str, Any]) -> tuple[bool, str]:
        name, value = str(arguments["name"]), arguments["value"]
        if name not in TUNABLE:
            return False, f"{name}: allowed: {', '.join(TUNABLE)}"
        message = ParameterMsg(name=name, value=_parameter_value(name, value))
        request = SetParameters.Request(parameters=[message])
        (result,) = call(self._setters[TUNABLE[name]], request, _ANSWER_S).results
        return result.successful, f"{name} = {value}" if result.successful else result.reason

    def _ask_parameters(self) -> None:
        """What the tunable parameters are now; and which artefact is in use."""
        if not self._viewers:
            return
        for owner, client in self._getters.items():
            names = [name for name, of in TUNABLE.items() if of == owner]
            names += ["policy"] if owner == "vinn_policy" else []
            if client.service_is_ready():
                future = client.call_async(GetParameters.Request(names=names))
                future.add_done_callback(lambda done, names=names: self._take(names, done))

    def _take(self, names: list[str], future: Any) -> None:
        answer = future.result()
        if answer is not None:
            for name, value in zip(names, answer.values, strict=False):
                read = RclpyParameter.from_parameter_msg(ParameterMsg(name=name, value=value))
                self._board.take_parameters({name: read.value})

    def _take_picture(self, kind: str, image: CompressedImage) -> None:
        before = self._pictures.get(kind)
        number = before.number + 1 if before is not None else 0
        self._pictures[kind] = Picture(number, bytes(image.data))
        if kind == "wrist":
            self._board.seen("camera")

    def _look_at_mosaic(self) -> None:
        """The policy draws only while somebody listens; so listen while somebody looks."""
        if self._viewers and self._mosaic is None:
            self._mosaic = self.subscribe(
                CompressedImage,
                "policy/neighbors/compressed",
                lambda image: self._take_picture("mosaic", image),
                qos.STREAM,
                # In the spinning thread, so that none is being taken when it is discarded.
                QuickGroup(),
            )
        elif not self._viewers and self._mosaic is not None:
            self.discard(self._mosaic)
            self._mosaic = None


def _parameter_value(name: str, value: Any) -> ParameterValue:
    """A JSON value as the parameter's own type."""
    if name == "step_mode":
        return ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=bool(value))
    if name in ("k", ATTEMPTS.name):
        return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=int(value))
    return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(value))


NODE = OperatorConsoleNode


def main() -> None:
    """Run the node."""
    run_node(NODE)
