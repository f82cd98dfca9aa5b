"""The simulated driver refuses and clips as the seam to a robot promises."""

from dataclasses import replace

import numpy as np
import pytest
from vinn.errors import RobotError
from vinn.robot.types import JointCommand
from vinn.sim.difficulty import DIFFICULTIES
from vinn.sim.driver import SimulatedStretch
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld

pytestmark = pytest.mark.physics


@pytest.fixture
def robot():
    with DoorWorld(SceneConfig()) as world:
        world.reset(0, np.zeros(3))
        yield SimulatedStretch(world)


def stay(robot: SimulatedStretch) -> JointCommand:
    state = robot.state()
    return JointCommand(
        state.lift_m,
        state.arm_m,
        state.wrist_yaw_rad,
        state.wrist_pitch_rad,
        state.wrist_roll_rad,
        state.gripper_aperture_m,
    )


def test_what_was_really_sent_is_returned(robot):
    limits = robot.limits()
    sent = robot.send(replace(stay(robot), lift_m=9.0, arm_m=-1.0, gripper_aperture_m=1.0))
    assert sent.lift_m == limits.lift_m.upper
    assert sent.arm_m == limits.arm_m.lower
    assert sent.gripper_aperture_m == limits.gripper_aperture_m.upper


@pytest.mark.parametrize("field", ["lift_m", "gripper_aperture_m", "base_translate_m"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(robot, field, value):
    with pytest.raises(RobotError, match="finite"):
        robot.send(replace(stay(robot), **{field: value}))


def test_base_translation_and_rotation_exclude_each_other(robot):
    with pytest.raises(RobotError, match="base"):
        robot.send(replace(stay(robot), base_translate_m=0.01, base_rotate_rad=0.01))


def test_runstop_stops_and_refuses(robot):
    robot.send(replace(stay(robot), lift_m=0.9))
    robot.wait(0.3)
    robot.set_runstop(True)
    stopped_m = robot.state().lift_m
    robot.wait(1.0)
    assert robot.state().runstopped
    assert robot.state().lift_m == pytest.approx(stopped_m, abs=0.01)
    with pytest.raises(RobotError, match="runstopped"):
        robot.send(stay(robot))
    robot.set_runstop(False)
    robot.wait(1.0)
    assert robot.state().lift_m == pytest.approx(stopped_m, abs=0.01)
    robot.send(stay(robot))


def test_refuses_unless_homed_and_in_position_mode(robot):
    robot.set_homed(False)
    with pytest.raises(RobotError, match="homed"):
        robot.send(stay(robot))
    robot.set_homed(True)
    robot.set_mode("navigation")
    with pytest.raises(RobotError, match="navigation"):
        robot.send(stay(robot))


def test_the_clock_goes_on_when_the_world_is_reset(robot):
    robot.wait(1.0)
    before = robot.now_s()
    robot.world.reset(1)
    assert robot.now_s() == pytest.approx(before)
    robot.wait(0.5)
    assert robot.now_s() == pytest.approx(before + 0.5)
    assert robot.state().steady_s == robot.now_s()


def test_the_gripper_opens_no_further_than_the_difficulty_lets_it():
    with DoorWorld(SceneConfig(difficulty=DIFFICULTIES["hard"])) as world:
        limit = SimulatedStretch(world).limits().gripper_aperture_m.upper
    assert limit == DIFFICULTIES["hard"].gripper_aperture_m
