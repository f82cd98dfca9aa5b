"""Saved start poses, the way back to them, jogs: over the kinematic fake."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_stretch import FakeStretch, a_state
from vinn.errors import ConfigError
from vinn.robot.config import RobotConfig, StartPose
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.saved_start import load_start_pose, save_start_pose, start_pose_of
from vinn.robot.types import ReasonCode
from vinn.rollout.config import StartPosesConfig
from vinn.rollout.start_poses import StartPoses

YAW = 1.53
"""As on the original robot: forward is the base, right is the arm."""


def a_robot(**executor: float) -> tuple[FakeStretch, StepExecutor]:
    config = RobotConfig()
    config = config.model_copy(update={"executor": config.executor.model_copy(update=executor)})
    robot = FakeStretch(current=a_state(wrist_yaw_rad=YAW))
    return robot, StepExecutor(robot, MotionFilter(config, robot.limits()), config.executor)


@pytest.mark.parametrize("right_m", [-0.05, 0.0, 0.05])
def test_a_reset_returns_to_the_saved_pose_by_odometry_with_its_offset(right_m: float) -> None:
    robot, executor = a_robot(retreat_m=0.1)
    saved = start_pose_of(robot.state())
    # A rollout went somewhere else.
    for delta in ([0.01, 0.0, 0.04], [-0.02, -0.03, 0.03], [0.0, 0.0, 0.05]):
        executor.jog(np.array(delta))
    assert math.hypot(robot.current.base_x_m, robot.current.base_y_m) > 0.08
    told: list[str] = []
    result = executor.move_to_start(saved, np.array([right_m, 0.0, 0.0]), on_progress=told.append)
    assert result.reason is ReasonCode.NONE
    end = robot.current
    # To the right of a gripper that points along the base is along the arm, but for 1.53 and not
    # a right angle.
    right_on_arm, right_on_base = right_m * math.sin(YAW), -right_m * math.cos(YAW)
    assert end.base_x_m == pytest.approx(saved.base_x_m + right_on_base, abs=0.01)
    assert end.arm_m == pytest.approx(saved.arm_m + right_on_arm, abs=0.005)
    assert end.lift_m == pytest.approx(saved.lift_m, abs=0.005)
    assert told[0] == "opening the gripper"
    assert "retreating" in told
    assert told[-1].startswith("going to the start pose, ")


def test_a_saved_base_pose_far_away_is_not_driven_to() -> None:
    robot, executor = a_robot()
    saved = start_pose_of(replace(robot.state(), base_x_m=3.0))
    result = executor.move_to_start(saved, np.zeros(3))
    assert result.reason is ReasonCode.UNREACHABLE
    assert "3.00 m away" in result.message
    assert robot.commands == []


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    """Another user may run the node that reads it."""
    save_start_pose(tmp_path / "start.yaml", StartPose())
    (tmp_path / "other.yaml").touch()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["other.yaml", "start.yaml"]
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_joints_outlive_the_program_and_the_base_pose_does_not(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "start_pose.yaml"
    assert load_start_pose(file) is None
    saved = start_pose_of(a_state(base_x_m=0.4, lift_m=-0.0004, arm_m=0.21))
    save_start_pose(file, saved)
    loaded = load_start_pose(file)
    assert loaded == StartPose(
        lift_m=0.0, arm_m=0.21, wrist_yaw_rad=0.0, wrist_pitch_rad=0.0, wrist_roll_rad=0.0
    )
    assert list(file.parent.iterdir()) == [file]
    file.write_text("lift_m: high\n")
    with pytest.raises(ConfigError, match="lift_m"):
        load_start_pose(file)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_jog_moves_and_measures_one_camera_axis(axis: int) -> None:
    robot, executor = a_robot()
    executor.begin_session("s")
    wanted = 0.01 * (np.arange(3) == axis)
    result = executor.jog(wanted)
    assert result.reason is ReasonCode.NONE
    assert np.linalg.norm(result.measured_camera_delta_m - wanted) < 0.004
    # The gripper stays, and no session is left whose steps would be executed.
    assert {command.gripper_aperture_m for command in robot.commands} == {0.064}
    assert executor.session == ""


@pytest.mark.parametrize("delta", [[0.2, 0, 0], [math.nan, 0, 0], [0.01, 0]])
def test_a_jog_out_of_bounds_moves_nothing(delta: list[float]) -> None:
    robot, executor = a_robot()
    result = executor.jog(np.array(delta))
    assert result.reason is ReasonCode.INVALID_INPUT
    assert not result.measured_camera_delta_m.any()
    assert robot.commands == []


def test_a_jog_respects_the_runstop() -> None:
    robot, executor = a_robot()
    robot.current = replace(robot.current, runstopped=True)
    assert executor.jog(np.array([0.01, 0, 0])).reason is ReasonCode.RUNSTOP
    assert executor.jog(np.array([0.01, 0, 0])).reason is ReasonCode.LATCHED
    assert robot.commands == []


def test_offsets_are_lateral_and_follow_from_the_seed_or_a_schedule_of_ten() -> None:
    drawn = StartPoses(StartPosesConfig(), seed=3)
    offsets = np.stack([drawn.offset(i) for i in range(200)])
    assert np.abs(offsets[:, 0]).max() <= 0.05
    assert not offsets[:, 1:].any()
    assert offsets[:, 0].std() > 0.02
    assert (drawn.offset(7) == StartPoses(StartPosesConfig(), seed=3).offset(7)).all()
    schedule = tuple((round(-0.05 + 0.1 * i / 9, 4), 0.0, 0.0) for i in range(10))
    planned = StartPoses(StartPosesConfig(schedule=schedule), seed=3)
    assert [tuple(planned.offset(i)) for i in range(10)] == list(schedule)
    assert tuple(planned.offset(10)) == schedule[0]
