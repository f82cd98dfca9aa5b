"""Stretch through stretch_body: a fake with the real signatures, and the driver over it."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import stretch_joints as sj
from fake_stretch_body import FakeStretchBody
from vinn.errors import RobotError
from vinn.robot.config import (
    CameraMount,
    ContactConfig,
    ContactThresholds,
    ExecutorConfig,
    RobotConfig,
    StartPose,
)
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.stretch_body.driver import StretchBodyDriver
from vinn.robot.types import JointCommand, ReasonCode, StepRequest

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "test/fakes/robot/stretch_body_signatures.json").read_text())
BEHAVIOUR = json.loads((ROOT / "test/fakes/robot/stretch_body_behaviour.json").read_text())

QUICK = ExecutorConfig(settle_window_s=0.04, start_s=0.05, poll_s=0.01)
PULL = ContactConfig(pull=ContactThresholds(arm_percent=80.0, base_percent=70.0))


def started(robot: FakeStretchBody, **config) -> StretchBodyDriver:
    driver = StretchBodyDriver(robot)
    driver.start(RobotConfig(**config))
    return driver


def an_executor(driver: StretchBodyDriver, **config) -> StepExecutor:
    settings = RobotConfig(camera=CameraMount(tilt_rad=0.0), **config)
    executor = StepExecutor(driver, MotionFilter(settings, driver.limits()), QUICK)
    executor.begin_session("s")
    return executor


def a_step(sequence: int, forward_m: float = 0.04, value: float = 0.0) -> StepRequest:
    return StepRequest(
        session="s",
        sequence=sequence,
        camera_delta=np.array([0.0, 0.0, forward_m]),
        gripper_value=value,
        gripper_probabilities=np.array([1.0, 0.0, 0.0, 0.0]),
    )


def a_command(**changes) -> JointCommand:
    command = JointCommand(
        lift_m=0.6,
        arm_m=0.2,
        wrist_yaw_rad=0.0,
        wrist_pitch_rad=0.0,
        wrist_roll_rad=0.0,
        gripper_aperture_m=0.06,
    )
    return replace(command, **changes)


def parts_of(robot: FakeStretchBody) -> dict[str, list[object]]:
    """The fake's objects by the class that they stand for."""
    return {
        "robot.Robot": [robot],
        "prismatic_joint.PrismaticJoint": [robot.lift, robot.arm],
        "base.Base": [robot.base],
        "end_of_arm.EndOfArm": [robot.end_of_arm],
        "dynamixel_hello_XL430.DynamixelHelloXL430": [robot.end_of_arm.get_joint("wrist_yaw")],
        "pimu.PimuBase": [robot.pimu],
    }


def test_the_fake_has_the_signatures_of_stretch_body() -> None:
    for name, parts in parts_of(FakeStretchBody()).items():
        for part in parts:
            for method, parameters in RECORDED["classes"][name].items():
                signature = inspect.signature(getattr(part, method))
                plain = [
                    p.replace(annotation=inspect.Parameter.empty)
                    for p in signature.parameters.values()
                ]
                assert ", ".join(str(p) for p in plain) == parameters, f"{name}.{method}"


def test_the_recorded_signatures_are_those_of_the_wheel() -> None:
    """Where the wheel is at hand: VINN_STRETCH_BODY_WHEEL names it."""
    wheel = os.environ.get("VINN_STRETCH_BODY_WHEEL")
    if not wheel:
        pytest.skip("VINN_STRETCH_BODY_WHEEL names no wheel of hello-robot-stretch-body")
    output = subprocess.run(
        [sys.executable, str(ROOT / "tools/stretch_body_signatures.py"), wheel],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(output) == RECORDED


@pytest.mark.parametrize("case", BEHAVIOUR["cases"])
def test_the_fake_does_what_the_released_calls_do(case: str) -> None:
    assert what_the_fake_does(case) == BEHAVIOUR["cases"][case]


JOINTS_OF = {
    "lift": sj.LIFT,
    "arm": sj.ARM,
    "wrist_yaw": sj.YAW,
    "wrist_pitch": sj.PITCH,
    "wrist_roll": sj.ROLL,
    "stretch_gripper": sj.GRIPPER,
}


def what_the_fake_does(case: str) -> object:
    """In the words of `tools/stretch_body_probe.py`."""
    robot = FakeStretchBody()
    if case.startswith("pushed again"):
        robot.lift.move_to(0.4)
        robot.push_command()
        robot._synced_s -= float(case.split()[3])
        robot.lift.move_to(0.3)
        robot.push_command()
        return "starts" if robot.joints.target[sj.LIFT] == 0.3 else "waits"
    name, method, value = re.match(r"(\w+)\.(\w+)\((.*)\)", case).groups()
    robot.homed = not case.endswith("not homed")
    robot.joints.stuck.add("all")
    if name == "base":
        robot.joints.base_left = dict.fromkeys(robot.joints.base_left, math.pi)
        getattr(robot.base, method)(float(value))
        robot.push_command()
        moved = robot.joints.base_left[sj.TRANSLATE if method == "translate_by" else sj.ROTATE]
        return "nothing" if moved == math.pi else moved if math.isfinite(moved) else str(moved)
    joint = JOINTS_OF[name]
    percent = joint == sj.GRIPPER
    here = BEHAVIOUR["here"][name]
    place = sj.percent_to_aperture(here) if percent else here
    robot.joints.position[joint] = place
    robot.joints.target[joint] = old = place + 0.001
    robot.runstopped = case.endswith("runstopped")
    if joint in (sj.LIFT, sj.ARM):
        getattr(getattr(robot, name), method)(float(value))
    else:
        getattr(robot.end_of_arm, method)(name, float(value))
    robot.push_command()
    goal = robot.joints.target[joint]
    if goal == old:
        return "nothing"
    for word, limit in zip(("lower", "upper"), sj.LIMITS[joint], strict=True):
        if goal == limit:
            return word
    return round(
        sj.aperture_to_percent(goal) - here if percent else goal - here, 0 if percent else 2
    )


def test_a_robot_that_another_process_has_is_refused() -> None:
    robot = FakeStretchBody()
    robot.busy = True
    with pytest.raises(RobotError, match="another process"):
        started(robot)


def test_a_step_moves_the_arm_and_switches_collision_checks_on() -> None:
    robot = FakeStretchBody()
    result = an_executor(started(robot)).execute(a_step(1))
    assert (result.reason, result.message) == (ReasonCode.NONE, "")
    assert robot.joints.position[sj.ARM] == pytest.approx(0.24, abs=0.009)
    assert robot.collision_management


def test_the_base_moves_by_increments_and_only_when_it_shall() -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    driver.send(a_command())
    assert not [call for call in robot.calls if call[0].startswith("base.t")]
    driver.send(a_command(base_translate_m=0.03))
    driver.send(a_command(base_rotate_rad=-0.1))
    moved = [call for call in robot.calls if call[0] in ("base.translate_by", "base.rotate_by")]
    assert [(name, values[0]) for name, values in moved] == [
        ("base.translate_by", 0.03),
        ("base.rotate_by", -0.1),
    ]
    with pytest.raises(RobotError, match="translation and rotation"):
        driver.send(a_command(base_translate_m=0.01, base_rotate_rad=0.01))


@pytest.mark.parametrize(("loaded", "percent"), [(False, None), (True, 80.0)])
def test_the_pull_raises_the_contact_thresholds(loaded: bool, percent: float | None) -> None:
    robot = FakeStretchBody()
    started(robot, contact=PULL).send(a_command(arm_m=0.15, loaded=loaded))
    ((_, (_, positive, negative)),) = [c for c in robot.calls if c[0] == f"{sj.ARM}.move_to"]
    assert positive == percent
    assert negative == (None if percent is None else -percent)


def test_a_door_that_pulls_stops_a_free_arm_but_not_one_that_grips() -> None:
    for closed in (False, True):
        robot = FakeStretchBody()
        robot.joints.grip_m = 0.014
        robot.joints.pushing = {sj.ARM: 60.0}
        driver = started(robot, contact=PULL)
        executor = an_executor(driver, contact=PULL)
        if closed:
            assert executor.execute(a_step(1, 0.0, value=3.0)).gripper_closed
        result = executor.execute(a_step(2, -0.04, value=3.0 if closed else 0.0))
        assert result.reason is (ReasonCode.NONE if closed else ReasonCode.STALLED)


@pytest.mark.parametrize("field", ["lift_m", "wrist_yaw_rad", "gripper_aperture_m"])
def test_numbers_that_are_none_are_refused(field: str) -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    with pytest.raises(RobotError, match="not finite"):
        driver.send(a_command(**{field: math.nan}))
    assert [name for name, _ in robot.calls if "move" in name] == []


def test_what_stretch_body_drops_without_a_word_is_an_error_here() -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    robot.homed = False
    with pytest.raises(RobotError, match="not homed"):
        driver.send(a_command())
    robot.homed = True
    robot.pimu.runstop_event_trigger()
    with pytest.raises(RobotError, match="runstopped"):
        driver.send(a_command())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"runstopped": True}, ReasonCode.RUNSTOP),
        ({"homed": False}, ReasonCode.NOT_HOMED),
        ({"missing": {"wrist_roll", "wrist_yaw"}}, ReasonCode.STATE_STALE),
    ],
)
def test_a_robot_with_a_fault_does_not_move(fault: dict, reason: ReasonCode) -> None:
    robot = FakeStretchBody()
    executor = an_executor(started(robot))
    for name, value in fault.items():
        setattr(robot, name, value)
    assert executor.execute(a_step(1)).reason is reason
    assert [name for name, _ in robot.calls if "move" in name] == []


def test_readings_that_stand_still_are_stale() -> None:
    robot = FakeStretchBody()
    executor = an_executor(started(robot))
    assert executor.execute(a_step(1)).reason is ReasonCode.NONE
    robot.silent = True
    result = executor.execute(a_step(2))
    assert result.reason is ReasonCode.STATE_STALE
    assert executor.latched is ReasonCode.STATE_STALE


def test_a_wrist_that_is_not_read_any_more_is_stale_though_its_stamp_goes_on() -> None:
    robot = FakeStretchBody()
    executor = an_executor(started(robot))
    assert executor.execute(a_step(1)).reason is ReasonCode.NONE
    robot.bus_dead = True
    result = executor.execute(a_step(2))
    assert result.reason is ReasonCode.STATE_STALE
    assert executor.latched is ReasonCode.STATE_STALE


def test_one_read_of_the_wrist_that_fails_halts_nothing() -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    executor = an_executor(driver)
    for sequence in range(1, 5):
        robot.end_of_arm.comm_errors.status["n_gsr"] += 1
        assert executor.execute(a_step(sequence, 0.01)).reason is ReasonCode.NONE


def test_home_reaches_the_start_pose() -> None:
    robot = FakeStretchBody()
    robot.joints.position[sj.GRIPPER] = 0.0
    robot.joints.target[sj.GRIPPER] = 0.0
    executor = an_executor(started(robot))
    pose = StartPose(lift_m=0.65, arm_m=0.25, wrist_yaw_rad=0.1)
    result = executor.move_to_start(pose, np.array([0.02, 0.0, 0.0]))
    assert (result.reason, result.message) == (ReasonCode.NONE, "")
    assert robot.joints.position[sj.LIFT] == pytest.approx(0.65, abs=0.009)
    assert robot.joints.position[sj.YAW] == pytest.approx(0.1, abs=0.03)
    assert robot.joints.position[sj.GRIPPER] == pytest.approx(0.064, abs=0.006)


def test_a_tool_that_only_yaws_counts_its_missing_joints_as_level() -> None:
    robot = FakeStretchBody(dex_wrist=False)
    driver = started(robot)
    state, limits = driver.state(), driver.limits()
    assert (state.wrist_pitch_rad, state.wrist_roll_rad) == (0.0, 0.0)
    assert (limits.wrist_roll_rad.lower, limits.wrist_roll_rad.upper) == (0.0, 0.0)
    driver.send(a_command())
    assert "wrist_roll.move_to" not in [name for name, _ in robot.calls]


def test_stopping_gives_the_robot_back() -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    driver.stop()
    driver.stop()
    assert [name for name, _ in robot.calls].count("stop") == 1
    with pytest.raises(RobotError, match="not started"):
        driver.state()
