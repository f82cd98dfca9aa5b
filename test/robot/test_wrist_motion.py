"""Steps of all six degrees of freedom: the camera moves as asked, or less, never otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_stretch import FakeStretch, a_state
from hypothesis import given
from hypothesis import strategies as st
from vinn.robot.config import CameraMount, ExecutorConfig, MotionConfig, RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.kinematics import base_T_gripper, gripper_R_camera, rotation_from_vector
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import ReasonCode, RobotState, StepRequest

MOUNT = CameraMount(tilt_rad=0.3, roll_rad=0.2, right_m=0.02)
CONFIG = RobotConfig(camera=MOUNT, motion=MotionConfig(wrist="move"))
FILTER = MotionFilter(CONFIG, CONFIG.tool.limits.joint_limits())
JOINTS = ("lift_m", "arm_m", "wrist_yaw_rad", "wrist_pitch_rad", "wrist_roll_rad")


def a_request(delta=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0), sequence=1, **changes) -> StepRequest:
    return StepRequest(
        session="s",
        sequence=sequence,
        camera_delta=np.array(delta, dtype=float),
        gripper_value=0.0,
        gripper_probabilities=np.array([1.0, 0.0, 0.0, 0.0]),
        camera_rotation_rad=np.array(turn, dtype=float),
        **changes,
    )


def camera_pose(values, base_m: float = 0.0, mount: CameraMount = MOUNT) -> np.ndarray:
    """(4, 4) pose of the camera in the base frame."""
    gripper = base_T_gripper(*(getattr(values, name) for name in JOINTS), CONFIG.tool.geometry)
    gripper[0, 3] += base_m
    camera = np.eye(4)
    camera[:3, :3] = gripper_R_camera(mount)
    camera[:3, 3] = (mount.right_m, mount.forward_m, mount.up_m)
    return gripper @ camera


def small(largest: float):
    return st.tuples(*[st.floats(-largest, largest)] * 3)


@given(
    delta=small(0.012),
    turn=small(0.02),
    yaw=st.floats(-0.5, 2.5),
    pitch=st.floats(-0.8, 0.2),
    roll=st.floats(-1.0, 1.0),
)
def test_the_camera_moves_as_asked(delta, turn, yaw, pitch, roll) -> None:
    state = a_state(wrist_yaw_rad=yaw, wrist_pitch_rad=pitch, wrist_roll_rad=roll, arm_m=0.3)
    decision = FILTER.filter(a_request(delta, turn), state)
    assert decision.reason is ReasonCode.NONE, decision.message
    before = camera_pose(state)
    after = camera_pose(decision.command, decision.command.base_translate_m)
    moved = np.linalg.inv(before) @ after
    # A base motion below a micrometre is left out.
    assert moved[:3, 3] == pytest.approx(np.array(delta), abs=2e-6)
    assert np.abs(moved[:3, :3] - rotation_from_vector(np.array(turn))).max() < 1e-6


def test_what_was_sent_is_reported() -> None:
    state = a_state(arm_m=0.3)
    decision = FILTER.filter(a_request((0.0, 0.0, 0.01), (0.0, 0.03, 0.0)), state)
    grasp = [
        base_T_gripper(*(getattr(v, name) for name in JOINTS), CONFIG.tool.geometry)[:3, 3]
        for v in (state, decision.command)
    ]
    travel = grasp[1] - grasp[0] + np.array([decision.command.base_translate_m, 0.0, 0.0])
    assert decision.sent_base_delta_m == pytest.approx(travel, abs=1e-9)


def test_a_large_turn_is_cut_to_a_step() -> None:
    decision = FILTER.filter(a_request(turn=(0.0, 1.0, 0.0)), a_state(arm_m=0.3))
    command = decision.command
    turns = [abs(getattr(command, name)) for name in JOINTS[2:]]
    assert 0.02 < max(turns) <= CONFIG.motion.wrist_cap_rad + 1e-9
    assert np.linalg.norm(decision.sent_base_delta_m) <= CONFIG.motion.step_cap_m + 1e-9


def test_a_wrist_at_its_limit_still_translates() -> None:
    upper = FILTER.limits.wrist_pitch_rad.upper
    state = a_state(wrist_pitch_rad=upper, arm_m=0.3)
    # Raising the camera further is not possible, going forward is.
    decision = FILTER.filter(a_request((0.0, 0.0, 0.02), (0.05, 0.0, 0.0)), state)
    assert decision.command is not None
    assert decision.command.wrist_pitch_rad <= upper + 1e-9
    assert np.linalg.norm(decision.sent_base_delta_m) > 0.01


def test_a_turn_into_the_arm_is_left_out_and_says_so() -> None:
    # Folded back below the arm: rolling on would raise the fingers into it.
    state = a_state(arm_m=0.4, wrist_yaw_rad=3.5, wrist_roll_rad=-1.0)
    delta = (0.0, 0.0, 0.01)
    decision = FILTER.filter(a_request(delta, (0.0, 0.0, 0.0156)), state)
    assert "turn is left out" in decision.message
    moved = np.linalg.inv(camera_pose(state)) @ camera_pose(
        decision.command, decision.command.base_translate_m
    )
    assert moved[:3, 3] == pytest.approx(np.array(delta), abs=2e-6)
    assert np.abs(moved[:3, :3] - np.eye(3)).max() < 1e-9


def test_a_held_wrist_ignores_rotations() -> None:
    config = RobotConfig(camera=MOUNT)
    motion_filter = MotionFilter(config, config.tool.limits.joint_limits())
    state = a_state(wrist_yaw_rad=0.4)
    plain = motion_filter.filter(a_request((0.0, 0.0, 0.03)), state)
    turned = motion_filter.filter(a_request((0.0, 0.0, 0.03), (0.1, 0.2, 0.3)), state)
    assert turned.command == plain.command
    assert turned.command.wrist_yaw_rad == 0.4


@pytest.mark.parametrize("bad", [(np.nan, 0.0, 0.0), (np.inf, 0.0, 0.0), (0.0, 7.0, 0.0)])
def test_turns_that_are_none_are_refused(bad) -> None:
    decision = FILTER.filter(a_request(turn=bad), a_state())
    assert decision.reason is ReasonCode.INVALID_INPUT
    assert "camera_rotation_rad" in decision.message


def test_a_robot_follows_a_turn_to_completion() -> None:
    robot = FakeStretch(current=a_state(arm_m=0.3))
    executor = StepExecutor(robot, MotionFilter(CONFIG, robot.limits()), ExecutorConfig())
    executor.begin_session("s")
    pose: RobotState = robot.state()
    wanted = camera_pose(pose)
    for sequence in range(1, 6):
        result = executor.execute(a_request((0.01, 0.0, 0.01), (0.0, -0.04, 0.0), sequence))
        assert result.reason is ReasonCode.NONE, result.message
        step = np.eye(4)
        step[:3, :3] = rotation_from_vector(np.array((0.0, -0.04, 0.0)))
        step[:3, 3] = (0.01, 0.0, 0.01)
        wanted = wanted @ step
    end = robot.state()
    reached = camera_pose(replace(end), end.base_x_m)
    # Within the arrival tolerances of the joints.
    assert np.linalg.norm(reached[:3, 3] - wanted[:3, 3]) < 0.02
    assert np.abs(reached[:3, :3] - wanted[:3, :3]).max() < 0.06
