"""Joint limits: what the robot reports, within what the tool allows, minus a margin."""

from __future__ import annotations

from dataclasses import fields

from vinn.errors import ConfigError
from vinn.robot.types import JointLimits, JointRange


def shrink(joint_range: JointRange, margin: float) -> JointRange:
    """The range without `margin` at either end; a range too narrow becomes its midpoint."""
    if joint_range.upper - joint_range.lower <= 2 * margin:
        middle = 0.5 * (joint_range.lower + joint_range.upper)
        return JointRange(middle, middle)
    return JointRange(joint_range.lower + margin, joint_range.upper - margin)


def with_margin(limits: JointLimits, margin_m: float, margin_rad: float) -> JointLimits:
    """Limits minus the margins. The gripper keeps its full range: it ends on objects, not stops."""
    return JointLimits(
        lift_m=shrink(limits.lift_m, margin_m),
        arm_m=shrink(limits.arm_m, margin_m),
        wrist_yaw_rad=shrink(limits.wrist_yaw_rad, margin_rad),
        wrist_pitch_rad=shrink(limits.wrist_pitch_rad, margin_rad),
        wrist_roll_rad=shrink(limits.wrist_roll_rad, margin_rad),
        gripper_aperture_m=limits.gripper_aperture_m,
    )


def effective_limits(reported: JointLimits, tool: JointLimits) -> JointLimits:
    """Intersection of the limits the robot reports and those of its tool profile.

    Raises:
        ConfigError: a joint has no value that both allow; the wrong tool profile is configured.
    """
    ranges: dict[str, JointRange] = {}
    for field in fields(JointLimits):
        a: JointRange = getattr(reported, field.name)
        b: JointRange = getattr(tool, field.name)
        lower, upper = max(a.lower, b.lower), min(a.upper, b.upper)
        if lower > upper:
            raise ConfigError(
                f"tool profile: {field.name} {b.lower:g}..{b.upper:g} does not meet the robot's "
                f"{a.lower:g}..{a.upper:g}; allowed: the profile of the mounted tool"
            )
        ranges[field.name] = JointRange(lower, upper)
    return JointLimits(**ranges)


def clamp(value: float, joint_range: JointRange) -> float:
    """`value` within the range. The caller has checked that it is finite: NaN passes a clamp."""
    return min(max(value, joint_range.lower), joint_range.upper)
