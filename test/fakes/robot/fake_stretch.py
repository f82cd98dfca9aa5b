"""A kinematic Stretch for tests: speed-limited joints, faults on demand, every command kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vinn.errors import RobotError
from vinn.robot.config import ToolLimits
from vinn.robot.types import JointCommand, JointLimits, RobotState

SPEEDS = {
    "lift_m": 0.11,
    "arm_m": 0.14,
    "wrist_yaw_rad": 1.0,
    "wrist_pitch_rad": 1.0,
    "wrist_roll_rad": 1.0,
    "gripper_aperture_m": 0.1,
}


def a_state(**changes: object) -> RobotState:
    """The robot in the middle of its ranges, gripper open."""
    state = RobotState(
        steady_s=0.0,
        lift_m=0.6,
        arm_m=0.2,
        wrist_yaw_rad=0.0,
        wrist_pitch_rad=0.0,
        wrist_roll_rad=0.0,
        gripper_aperture_m=0.064,
        base_x_m=0.0,
        base_y_m=0.0,
        base_theta_rad=0.0,
    )
    return replace(state, **changes)


@dataclass
class FakeStretch:
    """Implements `RobotDriver`; time passes only in `wait`."""

    current: RobotState = field(default_factory=a_state)
    blocked: set[str] = field(default_factory=set)
    """Joints that do not move, `base` included."""
    lag_m: float = 0.0
    """The arm stays this short of its target: the pull of a door."""
    grip_m: float | None = None
    """Width of an object between the fingers."""
    silent: bool = False
    refuses: bool = False
    commands: list[JointCommand] = field(default_factory=list)
    holds: int = 0
    on_wait: Callable[[FakeStretch], None] | None = None
    clock_s: float = 0.0
    _target: JointCommand | None = None
    _base_left_m: float = 0.0
    _base_left_rad: float = 0.0

    def state(self) -> RobotState:
        return self.current

    def limits(self) -> JointLimits:
        return ToolLimits().joint_limits()

    def now_s(self) -> float:
        return self.clock_s

    def send(self, command: JointCommand) -> JointCommand:
        if self.refuses:
            raise RobotError("stretch: goal refused")
        self.commands.append(command)
        self._target = command
        self._base_left_m += command.base_translate_m
        self._base_left_rad += command.base_rotate_rad
        return command

    def hold(self) -> None:
        self.holds += 1
        self._target = None
        self._base_left_m = self._base_left_rad = 0.0

    def wait(self, seconds: float) -> None:
        self.clock_s += seconds
        if self.on_wait:
            self.on_wait(self)
        changes: dict[str, float] = {}
        if self._target is not None:
            for name, speed in SPEEDS.items():
                value, target = getattr(self.current, name), getattr(self._target, name)
                if name == "arm_m":
                    target -= math.copysign(min(self.lag_m, abs(target - value)), target - value)
                if name == "gripper_aperture_m" and self.grip_m is not None:
                    target = max(target, self.grip_m)
                if name not in self.blocked:
                    changes[name] = value + _towards(target - value, speed * seconds)
        if "base" not in self.blocked:
            moved = _towards(self._base_left_m, 0.12 * seconds)
            turned = _towards(self._base_left_rad, 0.5 * seconds)
            self._base_left_m -= moved
            self._base_left_rad -= turned
            theta = self.current.base_theta_rad
            changes["base_x_m"] = self.current.base_x_m + moved * math.cos(theta)
            changes["base_y_m"] = self.current.base_y_m + moved * math.sin(theta)
            changes["base_theta_rad"] = theta + turned
        self.current = replace(self.current, **changes)
        if not self.silent:
            self.current = replace(self.current, steady_s=self.clock_s)


def _towards(difference: float, largest: float) -> float:
    return math.copysign(min(abs(difference), largest), difference)
