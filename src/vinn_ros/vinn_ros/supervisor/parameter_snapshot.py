"""The parameters of other nodes at one moment, for the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.parameter import Parameter
from vinn.errors import RobotError

from vinn_ros.node.calls import call


class ParameterSnapshot:
    """Asks nodes for all their parameters; one that does not answer is left out."""

    def __init__(self, node: Node, names: Sequence[str]) -> None:
        """Args: the node that asks, and the (relative) names of those that are asked."""
        group = ReentrantCallbackGroup()

        def client(service_type: Any, name: str, service: str) -> Any:
            return node.create_client(service_type, f"{name}/{service}", callback_group=group)

        self._clients = {
            name: (
                client(ListParameters, name, "list_parameters"),
                client(GetParameters, name, "get_parameters"),
            )
            for name in names
        }

    def take(self, timeout_s: float) -> dict[str, str]:
        """`NODE.PARAMETER` to YAML; waits at most `timeout_s` for each answer."""
        found: dict[str, str] = {}
        for name, (lister, getter) in self._clients.items():
            if not (lister.service_is_ready() and getter.service_is_ready()):
                continue
            try:
                names = call(lister, ListParameters.Request(), timeout_s).result.names
                values = call(getter, GetParameters.Request(names=names), timeout_s).values
            except RobotError:
                continue
            for parameter, value in zip(names, values, strict=False):
                found[f"{name}.{parameter}"] = _text(
                    Parameter.from_parameter_msg(ParameterMsg(name=parameter, value=value)).value
                )
        return found


def _text(value: Any) -> str:
    """A value as YAML in one line."""
    plain = value if value is None or isinstance(value, bool | int | float | str) else list(value)
    text = yaml.safe_dump(plain, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()
