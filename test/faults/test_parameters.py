"""Row 23: a bad parameter is refused by name, with what is allowed, and changes nothing."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
from fault_measure import Measure
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.parameter import Parameter as RosParameter
from ros_harness import Harness, ros_context
from vinn.errors import ConfigError
from vinn_ros.api_reference import NODES
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.parameters import Parameter

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def ros() -> Iterator[Harness]:
    with ros_context() as harness:
        yield harness


def node_class(name: str) -> type[VinnNode]:
    found: type[VinnNode] = importlib.import_module(f"vinn_ros.nodes.{name}").NODE
    return found


def bad_values(parameter: Parameter) -> list[Any]:
    """Of the wrong type, out of range, no number, not among the choices."""
    bad: list[Any] = [True if not isinstance(parameter.default, bool) else "perhaps"]
    bad.append("text" if not isinstance(parameter.default, str | list) else 1.5)
    if parameter.lower is not None and parameter.upper is not None:
        kind = type(parameter.default)
        bad += [kind(parameter.lower - 1), kind(parameter.upper + 1)]
    if isinstance(parameter.default, float):
        bad += [math.nan, math.inf]
    if parameter.choices:
        bad.append("never heard of" if isinstance(parameter.default, str) else ["never heard of"])
    return bad


@pytest.mark.parametrize("name", NODES)
def test_row_23_at_run_time(ros: Harness, name: str) -> None:
    node = node_class(name)([])
    tried = unnamed = changed = 0
    for parameter in (*node.COMMON_PARAMETERS, *node.PARAMETERS):
        before = node.value(parameter.name)
        for value in bad_values(parameter):
            (result,) = node.set_parameters([RosParameter(parameter.name, value=value)])
            tried += 1
            unnamed += result.successful or parameter.name not in result.reason
            changed += node.value(parameter.name) != before
    with pytest.raises(ParameterNotDeclaredException):
        node.set_parameters([RosParameter("speed_of_light", value=3.0)])
    node.destroy_node()
    measure = Measure(23)
    measure.value(f"{name}: of {tried} bad values accepted or unnamed", unnamed, "", "== 0")
    measure.value(f"{name}: values changed by a refused one", changed, "", "== 0")


def test_row_23_at_start(ros: Harness) -> None:
    refused = tried = 0
    for name in NODES:
        kind = node_class(name)
        parameter = next(p for p in kind.PARAMETERS if p.lower is not None or p.choices)
        value = bad_values(parameter)[-1]
        for argument, named in (
            (f"{parameter.name}:={value}".lower(), parameter.allowed),
            ("speed_of_light:=3.0", "unknown parameter speed_of_light"),
        ):
            tried += 1
            with pytest.raises(ConfigError) as error:
                kind(["--ros-args", "-p", argument])
            refused += named in str(error.value) and "\n" not in str(error.value)
    Measure(23).value(
        "bad start parameters refused with what is allowed", refused, f"of {tried}", f"== {tried}"
    )
