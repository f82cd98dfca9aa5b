"""The running nodes, as an operator's program sees them: parameters, services, status."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger
from vinn.errors import RobotError

from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import LoadPolicy, StartRollout
from vinn_ros.bringup.graph import NodeSpec
from vinn_ros.bringup.processes import BringUp
from vinn_ros.conversions import to_nanoseconds
from vinn_ros.node import qos
from vinn_ros.node.calls import call, checked
from vinn_ros.node.sensor_stream import SensorStream

ACTIVE_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 10.0
RESET_TIMEOUT_S = 60.0
RESET_ATTEMPTS = 4


class NotEndedError(RobotError):
    """A rollout began and went on for longer than one can take."""


class DemoSystem:
    """Node processes and an operator beside them. After `start`, `stop` must be called.

    Args:
        specs: the graph.
        env: environment of the nodes and of this operator.
        logs: directory for one log file per node.
    """

    def __init__(self, specs: Sequence[NodeSpec], env: Mapping[str, str], logs: Path) -> None:
        self._bring_up = BringUp(specs, dict(env), log_directory=logs)
        self._context = Context()
        self._status = RolloutStatus()
        self._news = threading.Condition()
        self.faults_cleared = 0
        self.camera_stamps_ns: set[int] = set()
        """Stamps of all frames the wrist camera announced (camera_info is small and never lost)."""

    def start(self) -> None:
        """Start the nodes and wait until they are active.

        Raises:
            vinn_ros.bringup.processes.BringUpError: a node did not come up; the others are stopped.
        """
        try:
            self._bring_up.start()
            self._bring_up.wait_active(ACTIVE_TIMEOUT_S)
            self._start_operator()
        except BaseException:
            self._bring_up.stop()
            raise

    @property
    def pids(self) -> dict[str, int]:
        """The nodes' process ids by name."""
        return {process.spec.name: process.pid for process in self._bring_up.processes}

    def stop(self) -> dict[str, int]:
        """Stop the operator, then the nodes; returns their exit codes by name."""
        self._executor.shutdown()
        self._context.try_shutdown()
        self._spinner.join(timeout=2.0)
        return self._bring_up.stop()

    def set_parameters(self, node: str, values: Mapping[str, str | float | bool]) -> None:
        """Set parameters of a node.

        Raises:
            RobotError: refused, or no answer.
        """
        client: Client = self._node.create_client(SetParameters, f"/{node}/set_parameters")
        request = SetParameters.Request(
            parameters=[ParameterMsg(name=name, value=_value(v)) for name, v in values.items()]
        )
        results = call(client, request, CALL_TIMEOUT_S).results
        self._node.destroy_client(client)
        for name, result in zip(values, results, strict=True):
            if not result.successful:
                raise RobotError(f"{node}.{name}: refused: {result.reason}")

    def load_policy(self, artefact: Path) -> None:
        """Let the policy node load another artefact.

        Raises:
            RobotError: refused, or no answer.
        """
        checked(self._load, LoadPolicy.Request(path=str(artefact.resolve())), RESET_TIMEOUT_S)

    def reset(self) -> None:
        """Reset the scene and move to the start pose.

        A latched fault (an overloaded machine makes joint states late) is cleared as an operator
        would, and counted in `faults_cleared`.

        Raises:
            RobotError: refused, failed or unanswered time after time.
        """
        for attempt in range(RESET_ATTEMPTS):
            try:
                checked(self._reset, Trigger.Request(), RESET_TIMEOUT_S)
                return
            except RobotError:
                if attempt == RESET_ATTEMPTS - 1:
                    raise
            checked(self._clear_latch, Trigger.Request(), CALL_TIMEOUT_S)
            self.faults_cleared += 1

    def run_rollout(
        self, name: str, timeout_s: float, on_step: Callable[[int], None] | None = None
    ) -> RolloutStatus:
        """Start a rollout and wait until it has ended.

        Args:
            name: kept with the recording.
            timeout_s: more than a rollout can take.
            on_step: told the number of steps as it grows.

        Returns:
            The supervisor's status at the end.

        Raises:
            RobotError: refused, or no answer; NotEndedError: begun, and not ended in time.
            vinn_ros.bringup.processes.BringUpError: a node went away.
        """
        answer = call(self._start, StartRollout.Request(name=name), CALL_TIMEOUT_S)
        if not answer.accepted:
            raise RobotError(f"supervisor/start_rollout: {answer.reason}: {answer.message}")
        deadline_s, step = time.monotonic() + timeout_s, 0
        while True:
            with self._news:
                self._news.wait(0.2)
                status = self._status
            if status.session == answer.session:
                if status.state == RolloutStatus.ENDED:
                    return status
                if on_step is not None and status.step != step:
                    step = status.step
                    on_step(step)
            self._bring_up.check()
            if time.monotonic() > deadline_s:
                raise NotEndedError(f"rollout {name}: not ended within {timeout_s:g} s")

    def stop_rollout(self) -> None:
        """End what is under way, if anything is.

        Raises:
            RobotError: refused, or no answer.
        """
        checked(self._stop, Trigger.Request(), CALL_TIMEOUT_S)

    # Inside

    def _start_operator(self) -> None:
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("vinn_demo", context=self._context)
        self._reset: Client = self._node.create_client(Trigger, "supervisor/reset")
        self._start: Client = self._node.create_client(StartRollout, "supervisor/start_rollout")
        self._stop: Client = self._node.create_client(Trigger, "supervisor/stop_rollout")
        self._clear_latch: Client = self._node.create_client(Trigger, "executor/clear_latch")
        self._load: Client = self._node.create_client(LoadPolicy, "policy/load")
        self._node.create_subscription(
            RolloutStatus, "supervisor/status", self._take_status, qos.STREAM
        )
        SensorStream(
            self._node,
            CameraInfo,
            "wrist_camera/camera_info",
            self._take_camera_info,
            qos.RECORD,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._spinner = threading.Thread(target=self._spin, name="operator", daemon=True)
        self._spinner.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _take_status(self, status: RolloutStatus) -> None:
        with self._news:
            self._status = status
            self._news.notify_all()

    def _take_camera_info(self, info: CameraInfo) -> None:
        self.camera_stamps_ns.add(to_nanoseconds(info.header.stamp))


def _value(value: Any) -> ParameterValue:
    if isinstance(value, bool):
        return ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
    if isinstance(value, float):
        return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(value))
