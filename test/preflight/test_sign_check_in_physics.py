"""The sign check with a simulated robot: the camera right way up, and mounted wrongly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vinn.robot.checks.sign_check import AxisVerdict
from vinn.robot.config import CameraMount
from vinn.robot.types import ReasonCode
from vinn.sim.cabinets import CABINETS
from vinn.sim.scene import SceneConfig
from vinn.sim.stretch_model import WristCamera

from measure.camera.sign_checks import simulated_sign_check

pytestmark = pytest.mark.physics


@pytest.mark.parametrize("cabinet", sorted(CABINETS))
def test_a_camera_the_right_way_up_passes(cabinet: str) -> None:
    check = simulated_sign_check(SceneConfig(cabinet=CABINETS[cabinet]), seed=1)
    assert check.passed, check.message
    assert check.reason is ReasonCode.NONE


def test_a_camera_mounted_upside_down_is_found_and_named() -> None:
    check = simulated_sign_check(SceneConfig(), seed=2, misroll_rad=math.pi)
    assert [result.verdict for result in check.axes] == [
        AxisVerdict.REVERSED,
        AxisVerdict.REVERSED,
        AxisVerdict.AGREES,
    ]
    assert check.reason is ReasonCode.CAMERA_REVERSED
    assert "degrees about its optical axis" in check.message


def test_a_camera_mounted_on_its_side_is_found_with_the_roll_to_enter() -> None:
    check = simulated_sign_check(SceneConfig(), seed=3, misroll_rad=math.pi / 2)
    assert check.reason is ReasonCode.CAMERA_REVERSED
    turns = [result.turned_rad for result in check.axes[:2]]
    assert np.allclose(turns, math.pi / 2, atol=0.15)
    assert f"{math.degrees(np.mean(turns)):+.0f} degrees" in check.message


def test_a_camera_on_its_side_passes_once_the_configuration_says_so() -> None:
    camera = WristCamera(mount=CameraMount(roll_rad=math.pi / 2))
    check = simulated_sign_check(SceneConfig(camera=camera), seed=4)
    assert check.passed, check.message
