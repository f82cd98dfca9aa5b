"""Keyboard and gamepad: what a key, a button or a stick means to who drives."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import Enum

Direction = tuple[float, float, float]
"""Camera's optical frame, unit length: x right, y down, z forward."""


class Hand(str, Enum):
    """What an operator asks for besides a direction."""

    GRIPPER = "open or close the gripper"
    CONTROL = "take over, or hand back"
    STOP = "stop"
    SMALLER = "smaller steps"
    LARGER = "larger steps"


KEYS: dict[str, Direction | Hand] = {
    "w": (0.0, 0.0, 1.0),
    "s": (0.0, 0.0, -1.0),
    "a": (-1.0, 0.0, 0.0),
    "d": (1.0, 0.0, 0.0),
    "r": (0.0, -1.0, 0.0),
    "f": (0.0, 1.0, 0.0),
    "g": Hand.GRIPPER,
    "t": Hand.CONTROL,
    "-": Hand.SMALLER,
    "+": Hand.LARGER,
    " ": Hand.STOP,
    "\x1b": Hand.STOP,
    "q": Hand.STOP,
}
LEGEND = (
    "w s forward, back   a d left, right   r f up, down   g gripper   t take over / hand back   "
    "- + step   space, q stop"
)

_EVENT = struct.Struct("<IhBB")
EVENT_BYTES = _EVENT.size
_BUTTON, _AXIS, _INITIAL = 0x01, 0x02, 0x80
_FULL = 32767
_DEAD = 0.5
"""A stick that is not pushed half-way asks for nothing: each push is a step of the robot."""
_AXES: dict[int, tuple[int, float]] = {0: (0, 1.0), 1: (2, -1.0), 3: (0, 1.0), 4: (1, 1.0)}
"""Axis of the usual layout (left stick 0 and 1, right 3 and 4): component, sign."""
_BUTTONS = {0: Hand.GRIPPER, 3: Hand.CONTROL, 1: Hand.STOP, 4: Hand.SMALLER, 5: Hand.LARGER}


@dataclass
class Gamepad:
    """Follows the events of Linux's joystick interface (/dev/input/js0)."""

    sticks: dict[int, float]

    def __init__(self) -> None:
        self.sticks = {}

    def take(self, event: bytes) -> Hand | None:
        """Take one event of `EVENT_BYTES` bytes; a button that was pressed, if it means something.

        Raises:
            ValueError: not an event.
        """
        if len(event) != EVENT_BYTES:
            raise ValueError(f"{len(event)} bytes; allowed: {EVENT_BYTES}")
        _, value, kind, number = _EVENT.unpack(event)
        if kind & ~_INITIAL == _AXIS and number in _AXES:
            self.sticks[number] = max(-1.0, value / _FULL)
        if kind == _BUTTON and value:
            return _BUTTONS.get(number)
        return None

    @property
    def direction(self) -> Direction | None:
        """Where the sticks point; None: they rest."""
        vector = [0.0, 0.0, 0.0]
        for number, value in self.sticks.items():
            component, sign = _AXES[number]
            if abs(value) >= _DEAD:
                vector[component] += sign * value
        length = math.hypot(*vector)
        if length < _DEAD:
            return None
        x, y, z = (value / length for value in vector)
        return x, y, z
