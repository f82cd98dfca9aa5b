"""Is everything there that a rollout needs? Judges what was observed; observes nothing itself.

The supervisor asks before each reset and start, `vinn doctor` at any time. Every check says in one
line what it saw, and if that is not good enough, what would be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field

from vinn.errors import ConfigError
from vinn.robot.config import RobotConfig
from vinn.robot.limits import effective_limits
from vinn.robot.types import JointLimits, ReasonCode

_MIB = 2**20


class PreflightConfig(BaseModel):
    """What is good enough to start."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_battery_v: float = Field(
        default=11.0, ge=0.0, le=60.0, description="battery; Stretch's empties below 10.5 [V]"
    )
    max_state_age_s: float = Field(
        default=1.0, gt=0.0, le=60.0, description="older joint states count as silence [s]"
    )
    min_camera_rate_hz: float = Field(
        default=5.0, ge=0.0, le=240.0, description="a policy step needs a fresh frame [Hz]"
    )
    max_camera_age_s: float = Field(
        default=0.5, gt=0.0, le=60.0, description="without a frame the camera counts as lost [s]"
    )
    max_clock_difference_s: float = Field(
        default=0.1, gt=0.0, le=3600.0, description="between this and another machine's clock [s]"
    )
    min_free_mib: float = Field(
        default=512.0, ge=0.0, le=2.0**40, description="for recordings [MiB]"
    )


@dataclass(frozen=True)
class Observations:
    """What was seen of the system. None: nothing was received."""

    homed: bool | None = None
    runstopped: bool | None = None
    mode: str | None = None
    tool: str | None = None
    battery_v: float | None = None
    joint_states_age_s: float | None = None
    limits: JointLimits | None = None
    limits_problem: str = ""
    """Why reported limits could not be read; empty: they could, or none came."""
    camera_age_s: float | None = None
    """Since the newest frame arrived."""
    camera_rate_hz: float | None = None
    policy: str | None = None
    """Name and hash of the artefact that predicts."""
    clock_differences_s: Mapping[str, float] = field(default_factory=dict)
    """Stamps of who against this machine's clock, the way there included."""
    free_bytes: int | None = None


class Verdict(str, Enum):
    """What a check came to."""

    OK = "ok"
    UNKNOWN = "unknown"
    """Nothing was received; the executor still looks for itself before it moves anything."""
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One line of a preflight."""

    name: str
    verdict: Verdict
    message: str
    reason: ReasonCode = ReasonCode.NONE
    """Of a failed check."""


def first_failure(checks: tuple[Check, ...]) -> Check | None:
    """The first check that failed, or None."""
    return next((check for check in checks if check.verdict is Verdict.FAILED), None)


def check_robot(
    seen: Observations, config: PreflightConfig, robot: RobotConfig | None = None
) -> tuple[Check, ...]:
    """Whether the robot may be moved at all: before a reset.

    Args:
        seen: what was observed.
        config: what is good enough.
        robot: the configured robot; None: tool and limits are not compared.
    """
    return (
        _joint_states(seen, config),
        _flag("homed", seen.homed, True, ReasonCode.NOT_HOMED, "home it: vinn-operator home"),
        _flag(
            "runstop",
            None if seen.runstopped is None else not seen.runstopped,
            True,
            ReasonCode.RUNSTOP,
            "the button is pressed: release it when the way is clear",
        ),
        _battery(seen, config),
        _tool(seen, robot),
        _limits(seen, robot),
    )


def check_all(
    seen: Observations, config: PreflightConfig, robot: RobotConfig | None = None
) -> tuple[Check, ...]:
    """Everything a rollout needs: before a start, and for `vinn doctor`. See `check_robot`."""
    return (
        *check_robot(seen, config, robot),
        _mode(seen, robot),
        _camera(seen, config),
        _policy(seen),
        *_clocks(seen, config),
        _disk(seen, config),
    )


def _ok(name: str, message: str) -> Check:
    return Check(name, Verdict.OK, message)


def _unknown(name: str, message: str = "nothing received") -> Check:
    return Check(name, Verdict.UNKNOWN, message)


def _failed(name: str, reason: ReasonCode, message: str) -> Check:
    return Check(name, Verdict.FAILED, message, reason)


def _flag(name: str, value: bool | None, good: bool, reason: ReasonCode, remedy: str) -> Check:
    if value is None:
        return _unknown(name)
    return (
        _ok(name, "yes" if name == "homed" else "released")
        if value is good
        else _failed(name, reason, remedy)
    )


def _joint_states(seen: Observations, config: PreflightConfig) -> Check:
    age_s = seen.joint_states_age_s
    if age_s is None:
        return _unknown("joint states")
    if not age_s <= config.max_state_age_s:
        return _failed(
            "joint states",
            ReasonCode.STATE_STALE,
            f"silent for {age_s:.1f} s; allowed: {config.max_state_age_s:g} s",
        )
    return _ok("joint states", f"{age_s * 1000:.0f} ms old")


def _battery(seen: Observations, config: PreflightConfig) -> Check:
    volts = seen.battery_v
    if volts is None or math.isnan(volts):
        return _unknown("battery")
    if volts < config.min_battery_v:
        return _failed(
            "battery",
            ReasonCode.LOW_BATTERY,
            f"{volts:.1f} V; allowed: at least {config.min_battery_v:g} V: charge it",
        )
    return _ok("battery", f"{volts:.1f} V")


def _tool(seen: Observations, robot: RobotConfig | None) -> Check:
    if seen.tool is None:
        return _unknown("tool")
    if robot is None:
        return _ok("tool", f"{seen.tool} (not compared)")
    if seen.tool != robot.tool.name:
        return _failed(
            "tool",
            ReasonCode.WRONG_TOOL,
            f"the robot reports {seen.tool!r}; configured: {robot.tool.name!r} "
            "(`tool` in the robot configuration)",
        )
    return _ok("tool", seen.tool)


def _limits(seen: Observations, robot: RobotConfig | None) -> Check:
    if seen.limits_problem:
        return _failed("limits", ReasonCode.ROBOT_ERROR, seen.limits_problem)
    if seen.limits is None:
        return _unknown("limits")
    if robot is not None:
        try:
            effective_limits(seen.limits, robot.tool.limits.joint_limits())
        except ConfigError as error:
            return _failed("limits", ReasonCode.ROBOT_ERROR, str(error))
    lift, arm = seen.limits.lift_m, seen.limits.arm_m
    return _ok(
        "limits",
        f"lift {lift.lower:.2f}..{lift.upper:.2f} m, arm {arm.lower:.2f}..{arm.upper:.2f} m",
    )


def _mode(seen: Observations, robot: RobotConfig | None) -> Check:
    if seen.mode is None:
        return _unknown("mode")
    allowed = robot.executor.modes if robot is not None else ("position",)
    if seen.mode not in allowed:
        return _failed(
            "mode",
            ReasonCode.WRONG_MODE,
            f"{seen.mode}; allowed: {', '.join(allowed)}: a reset switches it",
        )
    return _ok("mode", seen.mode)


def _camera(seen: Observations, config: PreflightConfig) -> Check:
    name, stale = "camera", ReasonCode.CAMERA_STALE
    if seen.camera_age_s is None:
        return _failed(name, stale, "no frame was received: is it plugged in?")
    if not seen.camera_age_s <= config.max_camera_age_s:
        return _failed(
            name,
            stale,
            f"no frame for {seen.camera_age_s:.1f} s; allowed: {config.max_camera_age_s:g} s",
        )
    rate_hz = seen.camera_rate_hz
    if rate_hz is None:
        return _unknown(name, "one frame: its rate is not yet known")
    if rate_hz < config.min_camera_rate_hz:
        return _failed(
            name,
            stale,
            f"{rate_hz:.1f} frames a second; allowed: at least {config.min_camera_rate_hz:g}: "
            "more light, a smaller picture, or another USB port",
        )
    return _ok(name, f"{rate_hz:.0f} frames a second")


def _policy(seen: Observations) -> Check:
    if seen.policy is None:
        return _failed(
            "policy",
            ReasonCode.POLICY_LOST,
            "nothing was predicted: is an artefact loaded (vinn-operator load-policy)?",
        )
    return _ok("policy", seen.policy or "without a name")


def _clocks(seen: Observations, config: PreflightConfig) -> tuple[Check, ...]:
    checks = []
    for who, difference_s in sorted(seen.clock_differences_s.items()):
        name = f"clock of {who}"
        if not abs(difference_s) <= config.max_clock_difference_s:
            checks.append(
                _failed(
                    name,
                    ReasonCode.CLOCK_DIFFERENCE,
                    f"{difference_s:+.3f} s from this machine's; allowed: "
                    f"{config.max_clock_difference_s:g} s: run chrony on both",
                )
            )
        else:
            checks.append(_ok(name, f"within {abs(difference_s) * 1000:.0f} ms"))
    return tuple(checks)


def _disk(seen: Observations, config: PreflightConfig) -> Check:
    if seen.free_bytes is None:
        return _unknown("disk", "no directory for recordings")
    free_mib = seen.free_bytes / _MIB
    if free_mib < config.min_free_mib:
        return _failed(
            "disk",
            ReasonCode.LOW_DISK,
            f"{free_mib:.0f} MiB free for recordings; allowed: at least {config.min_free_mib:g}",
        )
    return _ok("disk", f"{free_mib / 1024:.1f} GiB free")
