"""Whatever goes wrong in what a node is asked or told, the node goes on and says so."""

from __future__ import annotations

import math
from typing import Any

import pytest
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.callback_groups import ReentrantCallbackGroup
from ros_harness import Harness
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, Trigger
from vinn.errors import ConfigError, RobotError
from vinn_ros.console.node import OperatorConsoleNode
from vinn_ros.markers.node import ViewsNode
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.parameters import Parameter
from vinn_ros.policy.node import VinnPolicyNode
from vinn_ros.supervisor.node import RolloutSupervisorNode

from vinn_msgs.srv import Jog, LabelRollout, LoadPolicy, MoveToStart, ResetScene, StartRollout

pytestmark = pytest.mark.ros

SERVICES = (
    Trigger, SetBool, Jog, LabelRollout, LoadPolicy, MoveToStart, ResetScene, StartRollout,
)  # fmt: skip
PROBLEMS = (KeyError("k"), OSError(36, "File name too long"), RuntimeError(), RobotError("told"))


class Stumbling(VinnNode):
    """Fails at everything, as it is told to."""

    NAME = "stumbling"
    PARAMETERS = (Parameter("gain", 1.0, "of nothing", lower=0.0, upper=9.0, run_time=True),)

    def __init__(self, cli_args: list[str] | None = None) -> None:
        super().__init__(cli_args)
        self.problem: Exception | None = RuntimeError("to begin with")
        self.taken: list[float] = []
        for service_type in SERVICES:
            self.serve(service_type, service_type.__name__, self.answer, ReentrantCallbackGroup())
        self.subscribe(Float64, "number", self.take, qos.STREAM)

    def answer(self, request: Any, response: Any) -> Any:
        # Half an answer must not go out.
        for name in ("success", "accepted"):
            if hasattr(response, name):
                setattr(response, name, True)
        if self.problem is not None:
            raise self.problem
        return response

    def take(self, message: Float64) -> None:
        if math.isnan(message.data):
            raise ValueError("not a number")
        self.taken.append(message.data)

    def parameters_changed(self, values: dict[str, Any]) -> None:
        if self.problem is not None:
            raise self.problem


@pytest.mark.parametrize("service_type", SERVICES)
def test_a_service_that_fails_says_no_and_the_node_goes_on(ros: Harness, service_type: Any) -> None:
    node = ros.add(Stumbling(["--ros-args"]))
    for problem in PROBLEMS:
        node.problem = problem
        answer = ros.call(service_type, service_type.__name__)
        assert not getattr(answer, "accepted", False) and not getattr(answer, "success", False)
        assert answer.message == (str(problem) if problem is PROBLEMS[-1] else repr(problem))
        assert getattr(answer, "reason", "INTERNAL_ERROR") == "INTERNAL_ERROR"
    node.problem = None
    answer = ros.call(service_type, service_type.__name__)
    assert getattr(answer, "accepted", False) or getattr(answer, "success", False)


def test_a_message_that_cannot_be_taken_is_dropped_and_named(ros: Harness) -> None:
    node = ros.add(Stumbling(["--ros-args"]))
    publisher = ros.node.create_publisher(Float64, "number", qos.STREAM)
    ros.wait_for(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(Float64(data=math.nan))
    ros.wait_for(lambda: "not a number" in node._diagnosis()[1])
    assert node._diagnosis()[0] == b"\x02"
    publisher.publish(Float64(data=1.5))
    ros.wait_for(lambda: node.taken == [1.5])
    # What was is over.
    ros.wait_for(lambda: node._diagnosis()[0] == b"\x00")


def test_a_value_that_nobody_expected_is_refused_and_the_old_one_stays(ros: Harness) -> None:
    node = ros.add(Stumbling(["--ros-args"]))

    def set_gain(value: float) -> str:
        parameter = ParameterMsg(
            name="gain",
            value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value),
        )
        request = SetParameters.Request(parameters=[parameter])
        (result,) = ros.call(SetParameters, "stumbling/set_parameters", request).results
        return "" if result.successful else str(result.reason)

    for problem in (KeyError("gain"), ZeroDivisionError("of it"), ConfigError("gain: no")):
        node.problem = problem
        assert str(problem) in set_gain(2.0)
        assert node.value("gain") == 1.0
    node.problem = None
    assert set_gain(2.0) == ""
    assert node.value("gain") == 2.0


@pytest.mark.parametrize(
    "node_class", [ViewsNode, VinnPolicyNode, OperatorConsoleNode, RolloutSupervisorNode]
)
def test_simulated_time_is_chosen_before_configure(ros: Harness, node_class: Any) -> None:
    node = node_class(["--ros-args", "-p", "autostart:=false"])
    ros.add(node)

    def set_sim_time(value: bool) -> str:
        parameter = ParameterMsg(
            name="use_sim_time",
            value=ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value),
        )
        request = SetParameters.Request(parameters=[parameter])
        (result,) = ros.call(SetParameters, f"{node.NAME}/set_parameters", request).results
        return "" if result.successful else str(result.reason)

    for value in (True, False):
        assert set_sim_time(value) == ""
        assert node.value("use_sim_time") is value
    node.trigger_configure()
    for value in (True, False):
        assert "fixed after configure" in set_sim_time(value)
        assert node.value("use_sim_time") is False
    node.trigger_activate()
    assert "fixed after configure" in set_sim_time(True)
