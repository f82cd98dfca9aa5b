"""The base of every node: lifecycle, parameters, diagnostics, start, stop and exit codes."""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import State
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.signals import SignalHandlerOptions
from rclpy.timer import Timer
from vinn.errors import VinnError

from vinn_ros import parameters, qos
from vinn_ros.node_executor import NodeExecutor, QuickGroup
from vinn_ros.parameters import Parameter
from vinn_ros.sensor_stream import SensorStream, SubscriptionEventCallbacks
from vinn_ros.signals import StopSignals

EXIT_OK, EXIT_BUG, EXIT_REFUSED = 0, 1, 2

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

Diagnosis = tuple[bytes, str, dict[str, object]]
"""Level, message, values."""


class VinnNode(LifecycleNode):
    """A lifecycle node with a parameter table.

    Subclasses give `NAME` and `PARAMETERS`, make their topics and services in `__init__`, and fill
    in `configure` (heavy loads), `activate`, `deactivate`, `cleanup` and `diagnose`. `deactivate`
    and `cleanup` must bear being called when there is nothing to do. Whatever goes wrong for a
    reason that a user can mend is raised as `VinnError`.
    """

    NAME: str
    PARAMETERS: tuple[Parameter, ...] = ()
    COMMON_PARAMETERS = (
        Parameter("autostart", True, "configure and activate without being asked"),
        Parameter(
            "diagnostics_period_s", 0.4, "period of /diagnostics", unit="s", lower=0.05, upper=10.0
        ),
    )

    def __init__(self, cli_args: Sequence[str] | None = None) -> None:
        """Args: ROS arguments of this node alone; None takes those of the process.

        Raises:
            vinn.errors.ConfigError: a parameter is unknown, of the wrong type or out of range.
        """
        super().__init__(
            self.NAME,
            cli_args=None if cli_args is None else list(cli_args),
            use_global_arguments=cli_args is None,
        )
        self.active = False
        self.refusal: str | None = None
        """Why the last transition failed."""
        self._table = parameters.declare(self, (*self.COMMON_PARAMETERS, *self.PARAMETERS))
        self.add_on_set_parameters_callback(self._check_parameters)
        self._qos_problems: dict[str, str] = {}
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._told: tuple[bytes, str] | None = None
        """Level and message of the diagnostics that were published last."""
        self.every(self.value("diagnostics_period_s"), self.publish_diagnostics, QuickGroup())

    # What subclasses fill in

    def configure(self) -> None:
        """Load what is heavy."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working; keep what was loaded."""

    def cleanup(self) -> None:
        """Let go of what `configure` loaded."""

    def diagnose(self) -> Diagnosis:
        """How the node is."""
        return OK, "active" if self.active else "not active", {}

    def parameters_changed(self, values: dict[str, Any]) -> None:
        """Take over values set at run time, which are in range.

        Raises:
            vinn.errors.VinnError: they do not fit together; they are refused.
        """

    # What subclasses use

    def value(self, name: str) -> Any:
        """The value of a parameter."""
        return self.get_parameter(name).value

    def every(self, period_s: float, callback: Callable[[], None], group: Any = None) -> Timer:
        """A timer on the steady clock."""
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        return self.create_timer(period_s, callback, callback_group=group, clock=clock)

    def subscribe(
        self,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        group: Any = None,
        raw: bool = False,
    ) -> Any:
        """A subscription; a publisher whose QoS does not fit shows up in the diagnostics."""
        return self.create_subscription(
            message_type,
            topic,
            callback,
            profile,
            callback_group=group,
            raw=raw,
            # The default callbacks would be one more thing to wait for with each subscription.
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._qos_complaint(topic), use_default_callbacks=False
            ),
        )

    def subscribe_sensor(
        self,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        group: Any = None,
        raw: bool = False,
    ) -> None:
        """As `subscribe`, to what drivers publish: reliable and best-effort ones are heard."""
        complain = self._qos_complaint(topic)
        SensorStream(self, message_type, topic, callback, profile, group, raw, complain)

    def _qos_complaint(self, topic: str) -> Callable[[Any], None]:
        """What to do about a publisher that cannot be heard: say it."""

        def complain(event: Any) -> None:
            kind = qos_policy_name_from_kind(event.last_policy_kind).lower()
            self._qos_problems[topic] = f"{topic}: a publisher's QoS does not fit ({kind})"
            self.publish_diagnostics()

        return complain

    def serve(
        self, service_type: type, name: str, callback: Callable[[Any, Any], Any], group: Any
    ) -> None:
        """A service that answers every one of many simultaneous requests."""
        self.create_service(
            service_type, name, callback, qos_profile=qos.SERVICE, callback_group=group
        )

    def publish_diagnostics(self) -> None:
        """Say how the node is, now."""
        level, message, values = self._diagnosis()
        self._told = level, message
        status = DiagnosticStatus(
            level=level,
            name=self.get_fully_qualified_name(),
            message=message,
            hardware_id="vinn",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def publish_changed_diagnostics(self) -> None:
        """Say how the node is, if that is something else than what was said last."""
        if self._diagnosis()[:2] != self._told:
            self.publish_diagnostics()

    def _diagnosis(self) -> Diagnosis:
        level, message, values = self.diagnose()
        if self._qos_problems:
            level, message = ERROR, "; ".join([*self._qos_problems.values(), message])
        return level, message, values

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `configure`."""
        return self._transition("configure", self.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `activate`."""
        super().on_activate(state)
        self.active = True
        result = self._transition("activate", self.activate)
        self.active = result == TransitionCallbackReturn.SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `deactivate`."""
        self.active = False
        result = self._transition("deactivate", self.deactivate)
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `cleanup`."""
        return self._transition("cleanup", self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and let go."""
        self.active = False
        stopped = self._transition("deactivate", self.deactivate)
        released = self._transition("cleanup", self.cleanup)
        return stopped if stopped != TransitionCallbackReturn.SUCCESS else released

    def _transition(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        self.refusal = None
        try:
            action()
        except VinnError as error:
            self.refusal = f"{self.NAME}: {name} failed: {error}"
            return TransitionCallbackReturn.FAILURE
        except Exception:
            # rclpy drops exceptions of transitions without a word.
            self.get_logger().fatal(f"{self.NAME}: {name} failed\n{traceback.format_exc()}")
            raise
        return TransitionCallbackReturn.SUCCESS

    def _check_parameters(self, changed: list[Any]) -> SetParametersResult:
        """Refuse bad values at run time. Those given at start were checked before."""
        values = {}
        for parameter in changed:
            specification = self._table.get(parameter.name)
            if specification is None:
                continue
            problem = specification.problem(parameter.value)
            if problem:
                return SetParametersResult(successful=False, reason=problem)
            values[parameter.name] = parameter.value
        try:
            self.parameters_changed(values)
        except VinnError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def bring_up(self) -> bool:
        """Configure and activate, if `autostart` says so. False: refused, see `refusal`."""
        if not self.value("autostart"):
            return True
        return (
            self.trigger_configure() == TransitionCallbackReturn.SUCCESS
            and self.trigger_activate() == TransitionCallbackReturn.SUCCESS
        )

    def take_down(self) -> None:
        """End in the lifecycle's final state, whatever state the node is in."""
        if self._state_machine.current_state[0] != State.PRIMARY_STATE_FINALIZED:
            self.trigger_shutdown()


NodeFactory = Callable[[], VinnNode]
_LEAVING_S = 2.0
_SWITCH_S = 5e-4
"""A thread that has something to do gets the interpreter after this from one that goes on; Python's
own 5 ms, several times between a frame and its command, are a tenth of a step."""


def spin(factories: Sequence[NodeFactory]) -> int:
    """Run nodes in this process until SIGINT or SIGTERM; they stop in reverse order.

    Returns:
        The exit code: 0 stopped on request, 2 refused to start (one line on stderr says why).
    """
    nodes: list[VinnNode] = []
    sys.setswitchinterval(_SWITCH_S)
    with StopSignals() as signals:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        executor = NodeExecutor(threads=4 + 4 * len(factories))
        ending = threading.Event()
        spinner = threading.Thread(target=_spin, args=(executor, ending), name="spin", daemon=True)
        try:
            exit_code = _run(factories, nodes, executor, spinner, signals)
        except VinnError as error:
            print(error, file=sys.stderr, flush=True)
            exit_code = EXIT_REFUSED
        for node in reversed(nodes):
            node.take_down()
        ending.set()
        # Nothing may run in the executor any more when the context goes.
        executor.shutdown(timeout_sec=2.0)
        if spinner.ident is not None:
            spinner.join(timeout=2.0)
        rclpy.try_shutdown()
        for node in reversed(nodes):
            node.destroy_node()
    return exit_code


def _run(
    factories: Sequence[NodeFactory],
    nodes: list[VinnNode],
    executor: NodeExecutor,
    spinner: threading.Thread,
    signals: StopSignals,
) -> int:
    """Make the nodes, bring them up, wait for the end."""
    for factory in factories:
        node = factory()
        nodes.append(node)
        executor.add_node(node)
    spinner.start()
    for node in nodes:
        if not node.bring_up():
            if node.refusal is None:
                return EXIT_BUG
            print(node.refusal, file=sys.stderr, flush=True)
            return EXIT_REFUSED
    # Looking through all that was loaded takes the collector tens of milliseconds, in mid-step.
    gc.collect()
    gc.freeze()
    while not signals.wait(0.5):
        if not spinner.is_alive():
            return EXIT_BUG
    return EXIT_OK


def _spin(executor: NodeExecutor, ending: threading.Event) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except Exception:
        # On a busy machine a callback may still hold what the shutdown destroys (InvalidHandle).
        if not ending.is_set():
            raise


def leave_network() -> None:
    """Destroy the context: only then Fast DDS removes its 16 MiB of shared memory.

    Without, each end of a process would leave them behind until /dev/shm is full. It waits a
    bounded time, since a node that ends must not hang on what it leaves.
    """

    def destroy() -> None:
        # What still refers to the context keeps it: executors and nodes in reference cycles.
        gc.unfreeze()
        gc.collect()
        rclpy.get_default_context().destroy()

    leaving = threading.Thread(target=destroy, name="leave", daemon=True)
    leaving.start()
    leaving.join(timeout=_LEAVING_S)


def run_node(node_class: NodeFactory) -> None:
    """The `main` of a node's executable."""
    exit_code = spin([node_class])
    leave_network()
    sys.stdout.flush()
    sys.stderr.flush()
    # DDS and inference threads sometimes outlive the interpreter's own shutdown and crash it.
    os._exit(exit_code)
