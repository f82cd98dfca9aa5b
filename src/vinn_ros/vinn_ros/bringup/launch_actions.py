"""The graph as actions of `ros2 launch`; for the launch files alone, for it needs `launch_ros`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch import LaunchContext  # type: ignore[attr-defined]  # the folder launch/ is no package
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from vinn.errors import ConfigError

from vinn_ros.bringup.graph import NodeSpec, environment

Arguments = Mapping[str, str]
"""Values of a launch file's arguments by name."""

# Who shares a ROS 2 network decides how far discovery reaches; `vinn-bringup` decides for others.
_LEFT_TO_ROS = {"ROS_AUTOMATIC_DISCOVERY_RANGE"}
_RESPAWN_DELAY_S = 10.0
_LOG_LEVELS = ["debug", "info", "warn", "error", "fatal"]


def common_arguments() -> list[DeclareLaunchArgument]:
    """Arguments that every launch file of this package has."""
    return [
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of all nodes; empty: none."
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="Parameter file that wins over the package's own; empty: none.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=_LOG_LEVELS,
            description="Least severe log messages to show.",
        ),
    ]


def start_graph(
    arguments: Sequence[DeclareLaunchArgument],
    specs: Callable[[Arguments], Sequence[NodeSpec]],
    robot: Callable[[Arguments], str],
) -> OpaqueFunction:
    """An action that starts the nodes `specs` describes for the arguments' values.

    Args:
        arguments: as declared; their values are handed over by name.
        specs: from the values to the graph.
        robot: from the values to one of `vinn_ros.bringup.graph.ROBOTS`.
    """

    def start(context: LaunchContext) -> list[Any]:
        values = {
            argument.name: LaunchConfiguration(argument.name).perform(context)
            for argument in arguments
        }
        variables = environment(robot(values))
        return [
            *(
                SetEnvironmentVariable(name, value)
                for name, value in variables.items()
                if name not in _LEFT_TO_ROS
            ),
            *(node_action(spec, values["log_level"]) for spec in specs(values)),
        ]

    return OpaqueFunction(function=start)


def node_action(spec: NodeSpec, log_level: str) -> Node:
    """One node of the graph. The nodes configure and activate themselves (`autostart`).

    The end of one without which the robot can do nothing is the end of all; another one is started
    again.
    """
    parameters: list[Any] = [str(path) for path in spec.parameter_files]
    if spec.parameters:
        # Untyped text would be read as YAML: a camera named "0" would become a number.
        parameters.append(
            {
                name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
                for name, value in spec.parameters.items()
            }
        )
    return Node(
        package=spec.package,
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        parameters=parameters,
        remappings=list(spec.remappings),
        ros_arguments=["--log-level", log_level, *spec.security_arguments()],
        output="screen",
        on_exit=(
            Shutdown(reason=f"{spec.name} ended")
            if spec.required
            else LogInfo(msg=f"WARNING: {spec.name} ended: the robot does without it meanwhile")
        ),
        respawn=not spec.required,
        respawn_delay=_RESPAWN_DELAY_S,
    )


def parameter_files(arguments: Arguments) -> list[Path]:
    """The user's own parameter file, if one was named."""
    return [Path(arguments["params_file"])] if arguments["params_file"] else []


def chosen(specs: Sequence[NodeSpec], names: str) -> list[NodeSpec]:
    """The nodes with the given comma-separated names; all if there are none.

    Raises:
        vinn.errors.ConfigError: no node has such a name.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = [spec.name for spec in specs]
    for name in wanted:
        if name not in known:
            raise ConfigError(f"nodes: no node {name!r}; allowed: {', '.join(known)}")
    return [spec for spec in specs if spec.name in wanted or not wanted]


def number(arguments: Arguments, name: str) -> float:
    """An argument's value as a number.

    Raises:
        vinn.errors.ConfigError: it is none.
    """
    try:
        return float(arguments[name])
    except ValueError as error:
        raise ConfigError(f"{name}: {arguments[name]!r}; allowed: a number") from error
