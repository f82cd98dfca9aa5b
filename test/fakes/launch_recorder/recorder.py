"""Evaluates a launch file as `ros2 launch` does and says what it would start."""

import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node


@dataclass
class Recording:
    """What a launch file declares and starts."""

    arguments: dict[str, DeclareLaunchArgument]
    environment: dict[str, str]
    nodes: dict[str, Node]


def declared(path: Path) -> dict[str, DeclareLaunchArgument]:
    """The launch file's arguments by name."""
    entities = runpy.run_path(str(path))["generate_launch_description"]().entities
    return {entity.name: entity for entity in entities if isinstance(entity, DeclareLaunchArgument)}


def record(path: Path, given: Mapping[str, str]) -> Recording:
    """What the launch file starts when `given` are its arguments.

    Raises:
        ValueError: an argument is missing, unknown or not among its choices.
    """
    description = runpy.run_path(str(path))["generate_launch_description"]()
    recording = Recording({}, {}, {})
    context = LaunchContext()
    _visit(description.entities, context, given, recording)
    unknown = set(given) - set(recording.arguments)
    if unknown:
        raise ValueError(f"unknown arguments: {', '.join(sorted(unknown))}")
    return recording


def _visit(
    entities: list[Any], context: LaunchContext, given: Mapping[str, str], recording: Recording
) -> None:
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            value = given.get(entity.name, entity.default_value)
            if value is None:
                raise ValueError(f"argument {entity.name} is required")
            if entity.choices and value not in entity.choices:
                raise ValueError(f"argument {entity.name}: {value!r} is not in {entity.choices}")
            recording.arguments[entity.name] = entity
            context.launch_configurations[entity.name] = value
        elif isinstance(entity, OpaqueFunction):
            _visit(entity.function(context), context, given, recording)
        elif isinstance(entity, SetEnvironmentVariable):
            recording.environment[entity.name] = entity.value
        elif isinstance(entity, Node):
            recording.nodes[entity.name] = entity
        else:
            raise TypeError(f"the stand-in does not know {type(entity).__name__}")
