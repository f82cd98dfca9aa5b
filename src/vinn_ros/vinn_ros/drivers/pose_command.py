"""The vector on `joint_pose_cmd`: which entry is which, and in what unit the gripper is told.

Stretch's driver takes absolute targets for every joint but the base, so that a forgotten entry
would drive its joint to zero: encoding fills every entry or refuses.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from vinn.errors import ConfigError, RobotError
from vinn.robot.types import JointCommand

GRIPPER_ENTRY = "gripper"
HEAD_ENTRIES = ("head_pan", "head_tilt")
JOINT_FIELDS = {
    "arm": "arm_m",
    "lift": "lift_m",
    "wrist_yaw": "wrist_yaw_rad",
    "wrist_pitch": "wrist_pitch_rad",
    "wrist_roll": "wrist_roll_rad",
    "base_translate": "base_translate_m",
    "base_rotate": "base_rotate_rad",
}
_WRIST_ENTRIES = ("wrist_pitch", "wrist_roll")
"""A tool that only yaws has no entries for them."""
ENTRIES = (*JOINT_FIELDS, GRIPPER_ENTRY, *HEAD_ENTRIES)
DEFAULT_LAYOUT = (
    "arm",
    "lift",
    "wrist_yaw",
    "wrist_pitch",
    "wrist_roll",
    "head_pan",
    "head_tilt",
    "gripper",
    "base_translate",
    "base_rotate",
)
"""Dexterous wrist with gripper."""
DEX_TOOLS = (
    "tool_stretch_dex_wrist",
    "eoa_wrist_dw3_tool_sg3",
    "eoa_wrist_dw3_tool_sg3_pro",
)
AUTO = "auto"

GRIPPER_UNITS = ("percent", "finger_rad", "aperture_m")

_APERTURE_M_PER_PERCENT = 0.09 / 70.0
_FINGER_LENGTH_M = 0.171


def aperture_to_finger_rad(aperture_m: float) -> float:
    """Finger angle in Stretch's driver for a distance between the finger tips."""
    return aperture_m / 2.0 / _FINGER_LENGTH_M


def finger_rad_to_aperture(finger_rad: float) -> float:
    """Distance between the finger tips [m] for a finger angle in Stretch's driver."""
    return finger_rad * 2.0 * _FINGER_LENGTH_M


def layout_of_tool(tool: str) -> tuple[str, ...]:
    """Entries of the vector for a tool: as the driver's own index helper says, where installed.

    Raises:
        vinn.errors.ConfigError: not installed, and no default is known for the tool.
    """
    try:
        helper = importlib.import_module("hello_helpers.joint_qpos_conversion")
    except ImportError:
        if tool in DEX_TOOLS:
            return DEFAULT_LAYOUT
        raise ConfigError(
            f"pose_layout: {AUTO} for tool {tool} needs hello_helpers, which is not installed; "
            f"allowed: the entries in order, out of {', '.join(ENTRIES)}"
        ) from None
    try:
        index = helper.get_Idx(tool)
    except Exception as error:
        raise ConfigError(f"pose_layout: hello_helpers knows no tool {tool} ({error})") from error
    places = {
        int(getattr(index, entry.upper())): entry
        for entry in ENTRIES
        if hasattr(index, entry.upper())
    }
    if sorted(places) != list(range(int(index.num_joints))):
        raise ConfigError(
            f"pose_layout: hello_helpers has {index.num_joints} entries for tool {tool}, known are "
            f"{', '.join(places.values())}; allowed: the entries in order"
        )
    return tuple(places[place] for place in sorted(places))


class PoseLayout:
    """Order of the vector and unit of its gripper entry."""

    def __init__(self, entries: Sequence[str], gripper_unit: str) -> None:
        """Args: names out of `ENTRIES` in the driver's order, and one of `GRIPPER_UNITS`.

        Raises:
            vinn.errors.ConfigError: an entry is unknown, missing or there twice.
        """
        unknown = [entry for entry in entries if entry not in ENTRIES]
        if unknown or len(set(entries)) != len(entries):
            raise ConfigError(
                f"pose_layout: {list(entries)}; allowed: each at most once of {', '.join(ENTRIES)}"
            )
        needed = [entry for entry in (*JOINT_FIELDS, GRIPPER_ENTRY) if entry not in _WRIST_ENTRIES]
        missing = [entry for entry in needed if entry not in entries]
        if missing:
            raise ConfigError(f"pose_layout: {list(entries)}; missing: {', '.join(missing)}")
        if gripper_unit not in GRIPPER_UNITS:
            raise ConfigError(
                f"gripper_unit: {gripper_unit!r}; allowed: {', '.join(GRIPPER_UNITS)}"
            )
        self.entries = tuple(entries)
        self._unit = gripper_unit

    def encode(self, command: JointCommand, head: Mapping[str, float]) -> list[float]:
        """The vector for `command`; `head` says where the head is and stays [rad].

        Raises:
            vinn.errors.RobotError: the head's position is not known.
        """
        values = []
        for entry in self.entries:
            if entry in HEAD_ENTRIES:
                if entry not in head:
                    raise RobotError(f"joint states: joint_{entry} is missing")
                values.append(head[entry])
            elif entry == GRIPPER_ENTRY:
                values.append(self._gripper_from_aperture(command.gripper_aperture_m))
            else:
                values.append(float(getattr(command, JOINT_FIELDS[entry])))
        return values

    def decode(self, values: Sequence[float]) -> JointCommand:
        """The command in a vector.

        Raises:
            vinn.errors.RobotError: the wrong length.
        """
        if len(values) != len(self.entries):
            raise RobotError(f"joint_pose_cmd: {len(values)} values; allowed: {len(self.entries)}")
        named = dict(zip(self.entries, values, strict=True))
        joints: dict[str, Any] = {
            field: float(named.get(entry, 0.0)) for entry, field in JOINT_FIELDS.items()
        }
        aperture_m = self._gripper_to_aperture(float(named[GRIPPER_ENTRY]))
        return JointCommand(gripper_aperture_m=aperture_m, **joints)

    def _gripper_from_aperture(self, aperture_m: float) -> float:
        if self._unit == "percent":
            return aperture_m / _APERTURE_M_PER_PERCENT
        if self._unit == "finger_rad":
            return aperture_to_finger_rad(aperture_m)
        return aperture_m

    def _gripper_to_aperture(self, value: float) -> float:
        if self._unit == "percent":
            return value * _APERTURE_M_PER_PERCENT
        if self._unit == "finger_rad":
            return finger_rad_to_aperture(value)
        return value
