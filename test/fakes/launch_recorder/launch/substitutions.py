"""Substitutions."""

from dataclasses import dataclass

from launch import LaunchContext


@dataclass
class LaunchConfiguration:
    """The value of a launch argument."""

    variable_name: str

    def perform(self, context: LaunchContext) -> str:
        """The value; KeyError: no such argument."""
        return context.launch_configurations[self.variable_name]
