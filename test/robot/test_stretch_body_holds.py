"""Whatever ends a motion through stretch_body ends it for every joint, and stays ended."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import stretch_joints as sj
from fake_stretch_body import FakeStretchBody
from vinn.errors import RobotError
from vinn.robot.config import CameraMount, ExecutorConfig, RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.stretch_body.driver import StretchBodyDriver
from vinn.robot.types import JointCommand, ReasonCode, StepRequest

WRIST = (sj.YAW, sj.PITCH, sj.ROLL)
MOTORS = {"wrist_yaw": sj.YAW, "wrist_pitch": sj.PITCH, "wrist_roll": sj.ROLL}
SEEDS = range(8)


def started(robot: FakeStretchBody) -> StretchBodyDriver:
    driver = StretchBodyDriver(robot)
    driver.start(RobotConfig())
    return driver


def far_away(seed: int) -> JointCommand:
    """Every joint has a long way to go, its direction by chance; the gripper closes."""
    rng = random.Random(seed)

    def side(low: float, high: float) -> float:
        return rng.choice((low, high)) + rng.uniform(-0.02, 0.02)

    base = {"base_translate_m": side(-0.4, 0.4)} if seed % 2 else {"base_rotate_rad": side(-1, 1)}
    return JointCommand(
        lift_m=side(0.2, 1.0),
        arm_m=side(0.03, 0.45),
        wrist_yaw_rad=side(-1.3, 3.0),
        wrist_pitch_rad=side(-1.2, 0.3),
        wrist_roll_rad=side(-1.5, 1.5),
        gripper_aperture_m=-0.03,
        **base,
    )


def let_pass(robot: FakeStretchBody, seconds: float) -> None:
    robot.get_status()
    robot.joints.advance(seconds)


def place(robot: FakeStretchBody) -> dict[str, float]:
    """Where every joint but the gripper is, and the base."""
    robot.get_status()
    position, (x, y, theta) = robot.joints.snapshot()
    del position[sj.GRIPPER]
    return position | {"x": x, "y": y, "theta": theta}


def halted(robot: FakeStretchBody, driver: StretchBodyDriver, seed: int) -> dict[str, float]:
    """Send a long way, go some of it, hold; the place at the hold."""
    driver.send(far_away(seed))
    let_pass(robot, 0.1)
    driver.hold()
    return place(robot)


@pytest.mark.parametrize("sync_period_s", [0.0, 0.05], ids=["protocol 3", "protocol 2"])
@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_hold_nothing_moves(seed: int, sync_period_s: float) -> None:
    robot = FakeStretchBody()
    robot.sync_period_s = sync_period_s
    driver = started(robot)
    started_at = place(robot)
    held = halted(robot, driver, seed)
    moved = [name for name in WRIST if abs(held[name] - started_at[name]) > 0.05]
    assert len(moved) == 3, "the wrist was under way"
    let_pass(robot, 5.0)
    assert place(robot) == pytest.approx(held, abs=1e-9)


@pytest.mark.parametrize("reason", [ReasonCode.OPERATOR_STOP, ReasonCode.CAMERA_STALE])
def test_a_stop_within_a_step_stops_a_wrist_that_turns(reason: ReasonCode) -> None:
    """The wrist was sent elsewhere before the step; a step does not wait for it."""
    robot = FakeStretchBody()
    driver = started(robot)
    config = RobotConfig(camera=CameraMount(tilt_rad=0.0))
    quick = ExecutorConfig(settle_window_s=0.04, start_s=0.05, poll_s=0.01)
    executor = StepExecutor(driver, MotionFilter(config, driver.limits()), quick)
    executor.begin_session("s")
    polls = iter(range(10_000))

    def stop() -> ReasonCode | None:
        count = next(polls)
        if count == 3:  # an operator's hand, or another program's goal
            for name, joint in MOTORS.items():
                robot.end_of_arm.move_to(name, sj.LIMITS[joint][0])
        return reason if count > 5 else None

    step = StepRequest("s", 1, np.array([0.0, 0.0, 0.04]), 0.0, np.array([1.0, 0, 0, 0]))
    result = executor.execute(step, stop)
    assert result.reason is reason
    held = place(robot)
    assert held[sj.YAW] < -0.01
    let_pass(robot, 5.0)
    assert place(robot) == pytest.approx(held, abs=1e-9)


def test_what_is_held_is_not_let_go_and_a_gripper_that_opens_stops() -> None:
    robot = FakeStretchBody()
    robot.joints.grip_m = 0.014
    driver = started(robot)
    halted(robot, driver, 1)
    let_pass(robot, 5.0)
    assert robot.joints.position[sj.GRIPPER] == 0.014
    assert robot.joints.target[sj.GRIPPER] == pytest.approx(-0.03), "still squeezing"
    opening = far_away(1)
    driver.send(JointCommand(**vars(opening) | {"gripper_aperture_m": 0.064}))
    let_pass(robot, 0.01)
    driver.hold()
    stopped = robot.joints.position[sj.GRIPPER]
    assert 0.014 < stopped < 0.05
    let_pass(robot, 5.0)
    assert robot.joints.position[sj.GRIPPER] == pytest.approx(stopped)


@pytest.mark.parametrize("deaf", MOTORS)
def test_a_motor_that_gives_no_reading_is_stopped_by_its_torque_and_named(deaf: str) -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    driver.send(far_away(3))
    let_pass(robot, 0.1)
    robot.deaf.add(deaf)
    with pytest.raises(RobotError, match=rf"not held: {deaf}: no reading"):
        driver.hold()
    held = place(robot)
    let_pass(robot, 5.0)
    assert place(robot) == pytest.approx(held, abs=1e-9)


@pytest.mark.parametrize("broken", ["lift", "arm", "base", "push"])
def test_one_board_that_raises_keeps_no_other_joint_moving(broken: str) -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    driver.send(far_away(5))
    let_pass(robot, 0.1)
    robot.broken.add(broken)
    with pytest.raises(RobotError, match=f"not held: .*{broken}"):
        driver.hold()
    held = place(robot)
    let_pass(robot, 5.0)
    after = place(robot)
    still = (
        set(WRIST)
        if broken == "push"
        else {*WRIST, sj.LIFT, sj.ARM} - {{"lift": sj.LIFT, "arm": sj.ARM}.get(broken, "")}
    )
    assert {name: after[name] for name in still} == pytest.approx(
        {name: held[name] for name in still}, abs=1e-9
    )


def test_giving_the_robot_back_stops_a_wrist_that_keeps_its_torque() -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    driver.send(far_away(2))
    let_pass(robot, 0.1)
    driver.stop()
    held = place(robot)
    let_pass(robot, 5.0)
    assert place(robot) == pytest.approx(held, abs=1e-9)
    assert robot.calls[-1][0] == "stop"


def test_a_stop_that_fails_gives_the_robot_back_all_the_same() -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    robot.broken.add("base")
    with pytest.raises(RobotError, match="base"):
        driver.stop()
    assert robot.calls[-1][0] == "stop"
    driver.stop()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", [name for name in vars(far_away(1)) if name != "loaded"])
def test_numbers_that_stretch_body_would_take_for_a_limit_are_not_sent(
    field: str, value: float
) -> None:
    robot = FakeStretchBody()
    driver = started(robot)
    before = place(robot)
    with pytest.raises(RobotError, match="not finite"):
        driver.send(JointCommand(**vars(far_away(1)) | {field: value}))
    let_pass(robot, 5.0)
    assert place(robot) == pytest.approx(before, abs=1e-9)
