"""The preflight's judgement: each thing that is wrong is found, named, and nothing else is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from vinn.robot.checks.preflight import (
    Observations,
    PreflightConfig,
    Verdict,
    check_all,
    check_robot,
    first_failure,
)
from vinn.robot.config import RobotConfig
from vinn.robot.types import JointRange, ReasonCode

ROBOT = RobotConfig()
GOOD = Observations(
    homed=True,
    runstopped=False,
    mode="position",
    tool=ROBOT.tool.name,
    battery_v=12.4,
    joint_states_age_s=0.03,
    limits=ROBOT.tool.limits.joint_limits(),
    camera_age_s=0.05,
    camera_rate_hz=15.0,
    policy="vinn@0123456789ab",
    clock_differences_s={"the robot": 0.004, "the camera": -0.01},
    free_bytes=10 * 2**30,
)
CONFIG = PreflightConfig()


def failures(seen: Observations) -> dict[str, ReasonCode]:
    checks = check_all(seen, CONFIG, ROBOT)
    assert all(check.message and "\n" not in check.message for check in checks)
    return {check.name: check.reason for check in checks if check.verdict is Verdict.FAILED}


def test_a_system_that_is_well_passes_every_check() -> None:
    checks = check_all(GOOD, CONFIG, ROBOT)
    assert {check.verdict for check in checks} == {Verdict.OK}
    assert first_failure(checks) is None


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ({"homed": False}, "homed", ReasonCode.NOT_HOMED),
        ({"runstopped": True}, "runstop", ReasonCode.RUNSTOP),
        ({"mode": "navigation"}, "mode", ReasonCode.WRONG_MODE),
        ({"tool": "tool_none"}, "tool", ReasonCode.WRONG_TOOL),
        ({"battery_v": 9.5}, "battery", ReasonCode.LOW_BATTERY),
        ({"joint_states_age_s": 4.0}, "joint states", ReasonCode.STATE_STALE),
        ({"limits_problem": "joint_limits: joint_lift is missing"}, "limits", "ROBOT_ERROR"),
        ({"camera_age_s": None}, "camera", ReasonCode.CAMERA_STALE),
        ({"camera_age_s": 2.0}, "camera", ReasonCode.CAMERA_STALE),
        ({"camera_rate_hz": 2.0}, "camera", ReasonCode.CAMERA_STALE),
        ({"policy": None}, "policy", ReasonCode.POLICY_LOST),
        (
            {"clock_differences_s": {"the camera": 3600.0}},
            "clock of the camera",
            ReasonCode.CLOCK_DIFFERENCE,
        ),
        ({"clock_differences_s": {"the robot": math.nan}}, "clock of the robot", None),
        ({"free_bytes": 2**20}, "disk", ReasonCode.LOW_DISK),
    ],
)
def test_one_thing_that_is_wrong_is_the_one_that_is_named(
    change: dict, name: str, reason: ReasonCode | None
) -> None:
    found = failures(replace(GOOD, **change))
    assert found == {name: reason or ReasonCode.CLOCK_DIFFERENCE}


def test_limits_that_exclude_the_tools_are_found() -> None:
    limits = replace(GOOD.limits, lift_m=JointRange(2.0, 3.0))
    assert failures(replace(GOOD, limits=limits)) == {"limits": ReasonCode.ROBOT_ERROR}


def test_what_was_never_heard_is_unknown_except_camera_and_policy() -> None:
    checks = check_all(Observations(), CONFIG, ROBOT)
    assert {check.name for check in checks if check.verdict is Verdict.FAILED} == {
        "camera",
        "policy",
    }
    assert not any(check.verdict is Verdict.OK for check in checks)


def test_before_a_reset_only_the_robot_is_judged() -> None:
    seen = replace(GOOD, mode="navigation", camera_age_s=None, policy=None, free_bytes=0)
    assert first_failure(check_robot(seen, CONFIG, ROBOT)) is None
    failed = first_failure(check_robot(replace(seen, battery_v=10.0), CONFIG, ROBOT))
    assert failed is not None
    assert (failed.reason, failed.name) == (ReasonCode.LOW_BATTERY, "battery")
    assert "10.0 V" in failed.message and "11" in failed.message
