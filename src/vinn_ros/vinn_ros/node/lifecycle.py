"""The base of every node: lifecycle, parameters, diagnostics, what comes in."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import State
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from vinn.errors import VinnError
from vinn.robot.types import ReasonCode

from vinn_ros.node import parameters, qos
from vinn_ros.node.node_executor import NodeExecutor, QuickGroup
from vinn_ros.node.parameters import Parameter
from vinn_ros.node.sensor_stream import OFFERED, SensorStream, SubscriptionEventCallbacks

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

Diagnosis = tuple[bytes, str, Mapping[str, object]]
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
        self.abandoned = False
        """The process ends in the middle of a transition: what that leads to is of no interest."""
        self._table = parameters.declare(self, (*self.COMMON_PARAMETERS, *self.PARAMETERS))
        self.add_on_set_parameters_callback(self._check_parameters)
        self._qos_problems: dict[str, str] = {}
        self._message_problems: dict[str, str] = {}
        """By topic: why its newest message was dropped."""
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
        """A subscription; a publisher whose QoS does not fit shows up in the diagnostics.

        So does a message that `callback` stumbles over. It is dropped: what is on a topic is data,
        perhaps of another version of this software, and silence is what the watchdogs act on.
        """
        return self.create_subscription(
            message_type,
            topic,
            self._guarded(topic, callback),
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
        reliability: str = OFFERED,
    ) -> SensorStream:
        """As `subscribe`, to what drivers publish: reliable and best-effort ones are heard.

        Args: those of `subscribe`, and one of `sensor_stream.RELIABILITIES`.
        """
        complain = self._qos_complaint(topic)
        take = self._guarded(topic, callback)
        return SensorStream(
            self, message_type, topic, take, profile, group, raw, complain, reliability
        )

    def _guarded(self, topic: str, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            try:
                callback(message)
            except Exception as error:
                self._message_problems[topic] = f"{topic}: a message was dropped: {error!r}"
                self.get_logger().error(
                    f"{topic}: a message was dropped\n{traceback.format_exc()}",
                    throttle_duration_sec=1.0,
                )
            else:
                self._message_problems.pop(topic, None)

        return take

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
        """A service that answers every one of many simultaneous requests.

        Whatever goes wrong in `callback` is a refusal, and costs neither node nor rollout.
        """

        def answer(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:
                if not isinstance(error, VinnError):
                    self.get_logger().error(f"{name}: failed\n{traceback.format_exc()}")
                return _refused(service_type, error)

        self.create_service(
            service_type, name, answer, qos_profile=qos.SERVICE, callback_group=group
        )

    def discard(self, entity: Any) -> None:
        """Destroy a subscription or a publisher, when nobody waits for it.

        Destroyed under an executor that just builds its wait set, it would end the spinning.
        """

        def destroy() -> None:
            if isinstance(entity, Subscription):
                self.destroy_subscription(entity)
            else:
                self.destroy_lifecycle_publisher(entity)

        executor = self.executor
        if isinstance(executor, NodeExecutor):
            executor.between_waits(destroy)
        elif executor is None:
            destroy()
        else:
            raise TypeError(f"{self.NAME}: spun by {type(executor).__name__}, not by NodeExecutor")

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
        problems = [*list(self._qos_problems.values()), *list(self._message_problems.values())]
        if problems:
            level, message = ERROR, "; ".join([*problems, message])
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
            if self.abandoned:
                return TransitionCallbackReturn.FAILURE
            # rclpy drops exceptions of transitions without a word.
            self.get_logger().fatal(f"{self.NAME}: {name} failed\n{traceback.format_exc()}")
            raise
        return TransitionCallbackReturn.SUCCESS

    def _check_parameters(self, changed: list[Any]) -> SetParametersResult:
        """Refuse bad values at run time. Those given at start were checked before."""
        values = {}
        for parameter in changed:
            if parameter.name == "use_sim_time" and not self._unconfigured:
                return SetParametersResult(
                    successful=False,
                    reason="use_sim_time: fixed after configure; allowed: set it at start",
                )
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
        except Exception as error:
            self.get_logger().error(f"{', '.join(values)}: refused\n{traceback.format_exc()}")
            return SetParametersResult(successful=False, reason=repr(error))
        return SetParametersResult(successful=True)

    @property
    def _unconfigured(self) -> bool:
        return bool(self._state_machine.current_state[0] == State.PRIMARY_STATE_UNCONFIGURED)

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


def _refused(service_type: Any, error: Exception) -> Any:
    """An answer that says no: every service here has a truth value that is false by default."""
    response = service_type.Response()
    lines = str(error).splitlines() or [repr(error)]
    if hasattr(response, "message"):
        response.message = lines[0] if isinstance(error, VinnError) else repr(error)
    if hasattr(response, "reason"):
        response.reason = ReasonCode.INTERNAL_ERROR.value
    return response
