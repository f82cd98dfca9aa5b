"""What the hand really did, from joint states and the base's odometry."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from fake_stretch import FakeStretch
from vinn.robot.config import CameraMount, RobotConfig, WristGeometry
from vinn.robot.executor import StepExecutor
from vinn.robot.kinematics import base_T_gripper, rotation_z
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.odometry import base_R_camera, grasp_translation_m
from vinn.robot.types import ReasonCode, RobotState, StepRequest

GEOMETRY = WristGeometry()


def some_state(rng: np.random.Generator) -> RobotState:
    return RobotState(
        steady_s=0.0,
        lift_m=rng.uniform(0.2, 1.0),
        arm_m=rng.uniform(0.0, 0.5),
        wrist_yaw_rad=rng.uniform(-1, 3),
        wrist_pitch_rad=rng.uniform(-1, 0.5),
        wrist_roll_rad=rng.uniform(-1, 1),
        gripper_aperture_m=0.03,
        base_x_m=rng.uniform(-2, 2),
        base_y_m=rng.uniform(-2, 2),
        base_theta_rad=rng.uniform(-math.pi, math.pi),
    )


def world_p_grasp(state: RobotState) -> np.ndarray:
    pose = base_T_gripper(
        state.lift_m,
        state.arm_m,
        state.wrist_yaw_rad,
        state.wrist_pitch_rad,
        state.wrist_roll_rad,
        GEOMETRY,
    )
    base = np.array([state.base_x_m, state.base_y_m, 0.0])
    return base + rotation_z(state.base_theta_rad) @ pose[:3, 3]


def test_the_translation_is_the_worlds_seen_from_the_base_before() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        before, after = some_state(rng), some_state(rng)
        moved = world_p_grasp(after) - world_p_grasp(before)
        expected = rotation_z(before.base_theta_rad).T @ moved
        np.testing.assert_allclose(
            grasp_translation_m(before, after, GEOMETRY), expected, atol=1e-12
        )


@pytest.mark.parametrize("tilt_rad", [0.0, 0.35])
@pytest.mark.parametrize("yaw_rad", [0.0, 0.7, 1.53])
def test_a_step_reports_what_was_sent_and_measured_in_camera_axes(
    tilt_rad: float, yaw_rad: float
) -> None:
    rng = np.random.default_rng(7)
    config = RobotConfig(camera=CameraMount(tilt_rad=tilt_rad))
    robot = FakeStretch()
    robot.current = replace(robot.current, wrist_yaw_rad=yaw_rad)
    executor = StepExecutor(robot, MotionFilter(config, robot.limits()), config.executor)
    executor.begin_session("s")
    for sequence in range(1, 6):
        wanted = rng.uniform(-0.03, 0.03, 3)
        before = robot.state()
        result = executor.execute(StepRequest("s", sequence, wanted, 0.0, np.eye(4)[0]))
        after = robot.state()
        assert result.reason is ReasonCode.NONE, result.message
        rotation = base_R_camera(before, config.camera)
        np.testing.assert_allclose(
            rotation @ result.sent_camera_delta_m, result.sent_base_delta_m, atol=1e-12
        )
        np.testing.assert_allclose(
            rotation @ result.measured_camera_delta_m,
            grasp_translation_m(before, after, config.tool.geometry),
            atol=1e-9,
        )
        # What is sent is counted from targets and what is measured is where it settled.
        np.testing.assert_allclose(result.measured_camera_delta_m, wanted, atol=0.008)
        np.testing.assert_allclose(result.sent_camera_delta_m, wanted, atol=0.003)
        assert result.gripper_aperture_m == after.gripper_aperture_m


def test_a_refused_step_reports_that_nothing_moved() -> None:
    robot, config = FakeStretch(), RobotConfig()
    executor = StepExecutor(robot, MotionFilter(config, robot.limits()), config.executor)
    executor.begin_session("s")
    wanted = StepRequest("s", 1, np.array([0.0, 0.0, 0.02]), 0.0, np.eye(4)[0])
    assert executor.execute(wanted).measured_camera_delta_m.any()
    for refused in (
        replace(wanted, sequence=1),
        replace(wanted, sequence=2, session="t"),
        replace(wanted, sequence=3, camera_delta=np.array([np.nan, 0, 0])),
    ):
        result = executor.execute(refused)
        assert result.sent is None
        assert not result.measured_camera_delta_m.any()
        assert not result.sent_camera_delta_m.any()
        assert math.isnan(result.gripper_aperture_m)
        assert not result.missed
