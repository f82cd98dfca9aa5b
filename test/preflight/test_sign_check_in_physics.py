"""The sign check with a simulated robot: the camera right way up, and mounted wrongly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vinn.robot.config import CameraMount, RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.sign_check import AXES, JOGS_M, AxisVerdict, SignCheck, check_axis
from vinn.robot.types import ReasonCode
from vinn.sim.cabinets import CABINETS
from vinn.sim.driver import SimulatedStretch
from vinn.sim.scene import SceneConfig
from vinn.sim.stretch_model import WristCamera
from vinn.sim.world import DoorWorld

pytestmark = pytest.mark.physics


def run_check(mounted_roll_rad: float, cabinet: str = "oak", size_px: int = 224) -> SignCheck:
    """Jog a robot whose configuration believes in roll 0."""
    config = RobotConfig()
    mount = CameraMount(tilt_rad=config.camera.tilt_rad, roll_rad=mounted_roll_rad)
    camera = WristCamera(mount=mount, width_px=size_px, height_px=size_px)
    with DoorWorld(SceneConfig(camera=camera, cabinet=CABINETS[cabinet]), seed=1) as world:
        robot = SimulatedStretch(world)
        executor = StepExecutor(robot, MotionFilter(config, robot.limits()), config.executor)
        assert executor.move_to_start(config.start_pose, np.zeros(3)).reason is ReasonCode.NONE
        results = []
        for axis, jog in zip(AXES, JOGS_M, strict=True):
            before = world.wrist_image()
            there, moved = executor.jog(np.array(jog))
            away = world.wrist_image()
            back, returned = executor.jog(-np.array(jog))
            assert (there.reason, back.reason) == (ReasonCode.NONE, ReasonCode.NONE)
            # What joints and odometry measured is the jog, to the tolerance of arriving.
            assert np.linalg.norm(moved - jog) < 0.006
            after = world.wrist_image()
            results.append(check_axis(axis, [(before, away, moved), (away, after, returned)]))
        return SignCheck(tuple(results))


@pytest.mark.parametrize("cabinet", sorted(CABINETS))
def test_a_camera_the_right_way_up_passes(cabinet: str) -> None:
    check = run_check(0.0, cabinet)
    assert check.passed, check.message
    assert check.reason is ReasonCode.NONE


def test_a_camera_mounted_upside_down_is_found_and_named() -> None:
    check = run_check(math.pi)
    assert [result.verdict for result in check.axes] == [
        AxisVerdict.REVERSED,
        AxisVerdict.REVERSED,
        AxisVerdict.AGREES,
    ]
    assert check.reason is ReasonCode.CAMERA_REVERSED
    assert "degrees about its optical axis" in check.message


def test_a_camera_mounted_on_its_side_is_found_with_the_roll_to_enter() -> None:
    check = run_check(math.pi / 2)
    assert check.reason is ReasonCode.CAMERA_REVERSED
    turns = [result.turned_rad for result in check.axes[:2]]
    assert np.allclose(turns, math.pi / 2, atol=0.15)
    assert f"{math.degrees(np.mean(turns)):+.0f} degrees" in check.message
