"""Node parameters: one table per node, and one check for start-up and for run time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from vinn.errors import ConfigError


@dataclass(frozen=True)
class Parameter:
    """One declared parameter."""

    name: str
    default: bool | int | float | str | list[str]
    description: str
    unit: str = ""
    lower: float | None = None
    upper: float | None = None
    choices: tuple[str, ...] = ()
    run_time: bool = False
    """May be changed while the node runs."""

    @property
    def type_name(self) -> str:
        """The name of the type as ROS 2 users know it."""
        names = {bool: "bool", int: "integer", float: "double", str: "string", list: "string array"}
        return names[type(self.default)]

    @property
    def allowed(self) -> str:
        """What values are allowed, for people."""
        unit = f" {self.unit}" if self.unit else ""
        if self.choices:
            return ", ".join(self.choices)
        if self.lower is not None and self.upper is not None:
            return f"{self.lower:g}..{self.upper:g}{unit}"
        return self.type_name + unit

    def problem(self, value: Any) -> str | None:
        """Why `value` is refused, in one line, or None."""
        if type(value) is not type(self.default):
            return f"{self.name}: {value!r} is no {self.type_name}; allowed: {self.allowed}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name}: {value!r}; allowed: {self.allowed}"
        if isinstance(value, list) and not all(isinstance(entry, str) for entry in value):
            return f"{self.name}: {value!r}; allowed: {self.allowed}"
        if self.choices and any(
            entry not in self.choices for entry in (value if isinstance(value, list) else [value])
        ):
            return f"{self.name}: {value!r}; allowed: {self.allowed}"
        if not self._within(value):
            return f"{self.name}: {value!r}; allowed: {self.allowed}"
        return None

    def _within(self, value: Any) -> bool:
        if self.lower is None or self.upper is None:
            return True
        return bool(self.lower <= value <= self.upper)

    def descriptor(self) -> ParameterDescriptor:
        """The same for `ros2 param describe`."""
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description + (f" [{self.unit}]" if self.unit else ""),
            read_only=not self.run_time,
            # `problem` checks the type as well, and unlike rclpy it names the parameter.
            dynamic_typing=True,
            additional_constraints=f"one of {self.allowed}" if self.choices else "",
        )
        if self.lower is not None and self.upper is not None:
            if isinstance(self.default, int):
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.lower), to_value=int(self.upper))
                ]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(self.lower), to_value=float(self.upper))
                ]
        return descriptor


def declare(node: Node, table: Iterable[Parameter]) -> Mapping[str, Parameter]:
    """Declare `table` on `node`; values from files and arguments are checked first.

    Raises:
        vinn.errors.ConfigError: a value has the wrong type or is out of range, or a parameter is
            given that the node does not have.
    """
    by_name = {parameter.name: parameter for parameter in table}
    # rclpy has no public way to see values given for parameters that nobody declares.
    given = node._parameter_overrides
    ours = {"use_sim_time", "start_type_description_service"}
    unknown = sorted(
        name for name in given if name not in by_name and name not in ours and "qos_" not in name
    )
    if unknown:
        raise ConfigError(
            f"{node.get_name()}: unknown parameter {unknown[0]}; known: {', '.join(by_name)}"
        )
    for name, value in given.items():
        if name in by_name:
            problem = by_name[name].problem(value.value)
            if problem:
                raise ConfigError(f"{node.get_name()}: {problem}")
    for parameter in by_name.values():
        node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
    return by_name
