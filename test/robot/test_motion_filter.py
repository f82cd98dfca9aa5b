"""What may never be sent, for any request; and what the chain makes of ordinary ones."""

import dataclasses
import math

import numpy as np
import pytest
from fake_stretch import a_state
from hypothesis import given, settings
from hypothesis import strategies as st
from vinn.demos.types import ActionScale
from vinn.robot.config import (
    CameraMount,
    MotionConfig,
    RobotConfig,
    ToolLimits,
)
from vinn.robot.held_targets import HeldTargets
from vinn.robot.motion_filter import FilterMemory, MotionFilter, clip_length
from vinn.robot.types import JointRange, ReasonCode, StepRequest

LIMITS = ToolLimits().joint_limits()
LEVEL = RobotConfig(camera=CameraMount(tilt_rad=0.0))
JOINTS = {
    "lift_m": 0.05,
    "arm_m": 0.05,
    "wrist_yaw_rad": 0.1,
    "wrist_pitch_rad": 0.1,
    "wrist_roll_rad": 0.1,
}


def request(delta=(0.0, 0.0, 0.0), value=0.0, **changes):
    return StepRequest(
        session="s",
        sequence=1,
        camera_delta=np.asarray(delta, dtype=np.float64),
        gripper_value=value,
        gripper_probabilities=np.array([1.0, 0.0, 0.0, 0.0]),
        **changes,
    )


def check_command(motion_filter, decision, state):
    """The invariants of every command: finite, within limits minus margin, within the cap."""
    command = decision.command
    assert all(math.isfinite(v) for v in dataclasses.astuple(command))
    for name, cap in JOINTS.items():
        target, allowed = getattr(command, name), getattr(motion_filter.limits, name)
        assert allowed.lower <= target <= allowed.upper
        assert abs(target - getattr(state, name)) <= cap + 1e-9
    assert abs(command.base_translate_m) <= 0.05 + 1e-9
    assert not (command.base_translate_m and command.base_rotate_rad)
    assert LIMITS.gripper_aperture_m.lower <= command.gripper_aperture_m
    assert command.gripper_aperture_m <= LIMITS.gripper_aperture_m.upper


def test_margins_are_inside_the_limits():
    limits = MotionFilter(LEVEL, LIMITS).limits
    assert limits.lift_m == JointRange(0.005, pytest.approx(1.095))
    assert limits.wrist_yaw_rad.upper == pytest.approx(4.54)


@pytest.mark.slow
def test_a_hundred_thousand_requests_yield_only_commands_within_bounds():
    rng = np.random.default_rng(0)
    motion_filter = MotionFilter(LEVEL, LIMITS)
    sizes = 10.0 ** rng.uniform(-6, 5, 100_000)
    sizes[::7] = rng.choice([0.0, 1e300, np.inf, np.nan, -0.0, 5e-324], len(sizes[::7]))
    with np.errstate(invalid="ignore"):
        deltas = rng.normal(size=(100_000, 3)) * sizes[:, None]
    values = np.where(rng.random(100_000) < 0.9, rng.uniform(0, 3, 100_000), np.nan)
    state, memory, sent, refused = a_state(), FilterMemory(base_origin_m=(0.0, 0.0)), 0, 0
    for i, (delta, value) in enumerate(zip(deltas, values, strict=True)):
        if i % 50 == 0:
            state = a_state(
                lift_m=rng.uniform(0, 1.1),
                arm_m=rng.uniform(0, 0.52),
                wrist_yaw_rad=rng.uniform(-1.41, 4.56),
                wrist_pitch_rad=rng.uniform(-1.57, 0.45),
                wrist_roll_rad=rng.uniform(-2.91, 2.92),
                base_x_m=rng.uniform(-0.6, 0.6),
                base_theta_rad=rng.uniform(-3, 3) * (i % 100 == 0),
            )
        decision = motion_filter.filter(request(delta, float(value)), state, memory)
        if not (np.isfinite(delta).all() and np.isfinite(value)):
            assert decision.reason is ReasonCode.INVALID_INPUT
        if decision.command is None:
            refused += 1
            assert decision.reason is not ReasonCode.NONE and decision.message
            assert not decision.sent_base_delta_m.any()
            assert decision.memory is memory
        else:
            sent += 1
            check_command(motion_filter, decision, state)
            assert np.linalg.norm(decision.sent_base_delta_m) <= 0.05 * math.sqrt(3) + 0.01
            memory = decision.memory
    assert sent > 30_000 and refused > 10_000


@settings(max_examples=300, deadline=None)
@given(
    delta=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=3, max_size=3),
    value=st.floats(allow_nan=True, allow_infinity=True),
    age=st.floats(allow_nan=True, allow_infinity=True),
    novelty=st.floats(allow_nan=True, allow_infinity=True),
    lift=st.floats(-0.5, 2.0),
    arm=st.floats(-0.5, 1.0),
    yaw=st.floats(-4.0, 6.0),
)
def test_adversarial_numbers_and_robots_outside_their_limits(
    delta, value, age, novelty, lift, arm, yaw
):
    motion_filter = MotionFilter(LEVEL, LIMITS)
    state = a_state(lift_m=lift, arm_m=arm, wrist_yaw_rad=yaw)
    decision = motion_filter.filter(request(delta, value, image_age_s=age, novelty=novelty), state)
    if decision.command is None:
        assert decision.reason is not ReasonCode.NONE
    else:
        check_command(motion_filter, decision, state)
        assert 0.0 <= age <= LEVEL.motion.max_image_age_s


@pytest.mark.parametrize(
    "broken",
    [
        {"camera_delta": np.zeros(2)},
        {"camera_delta": np.zeros((3, 1))},
        {"camera_delta": [0.0, 0.0, 0.0]},
        {"camera_delta": np.array(["a", "b", "c"])},
        {"camera_delta": np.array([0.0, np.nan, 0.0])},
        {"camera_delta": np.array([0.0, np.inf, 0.0])},
        {"camera_delta": np.array([0.0, 1e4, 0.0])},
        {"gripper_probabilities": np.zeros(3)},
        {"gripper_probabilities": np.array([np.nan, 0, 0, 0])},
        {"gripper_probabilities": np.array([2.0, 0, 0, 0])},
        {"gripper_value": float("nan")},
        {"gripper_value": 3.5},
        {"gripper_value": -1.0},
        {"action_scale": ActionScale.UNIT},
    ],
)
def test_invalid_input_is_refused_by_name(broken):
    decision = MotionFilter(LEVEL, LIMITS).filter(
        dataclasses.replace(request(), **broken), a_state()
    )
    assert decision.reason is ReasonCode.INVALID_INPUT and decision.command is None
    assert next(iter(broken)) in decision.message and "\n" not in decision.message


def test_stale_and_novel_views_move_nothing():
    motion = MotionConfig(novelty_action="halt")
    motion_filter = MotionFilter(RobotConfig(motion=motion), LIMITS)
    delta = (0.0, 0.0, 0.03)
    stale = motion_filter.filter(request(delta, image_age_s=0.41), a_state())
    assert (stale.reason, stale.command) == (ReasonCode.STALE_INPUT, None)
    novel = motion_filter.filter(request(delta, novelty=1.01), a_state())
    assert (novel.reason, novel.command) == (ReasonCode.NOVEL, None)
    assert motion_filter.filter(request(delta, novelty=0.99), a_state()).command
    assert motion_filter.filter(request(delta, novelty=math.nan), a_state()).command
    warned = MotionFilter(LEVEL, LIMITS).filter(request(delta, novelty=50.0), a_state())
    assert warned.reason is ReasonCode.NONE and warned.command


@pytest.mark.parametrize(
    ("yaw", "camera_delta", "base_delta"),
    [
        (0.0, (0.03, 0, 0), (-0.03, 0, 0)),  # right of a gripper along the arm: base backwards
        (0.0, (0, 0.03, 0), (0, 0, -0.03)),  # down
        (0.0, (0, 0, 0.03), (0, -0.03, 0)),  # forward: arm out
        (math.pi / 2, (0, 0, 0.03), (0.03, 0, 0)),  # forward: base forward
        (math.pi / 2, (0.03, 0, 0), (0, -0.03, 0)),  # right: arm out
    ],
)
def test_camera_translations_land_on_the_right_joints(yaw, camera_delta, base_delta):
    state = a_state(wrist_yaw_rad=yaw)
    decision = MotionFilter(LEVEL, LIMITS).filter(request(camera_delta), state)
    assert decision.reason is ReasonCode.NONE
    assert np.allclose(decision.sent_base_delta_m, base_delta, atol=1e-12)
    assert decision.command.base_translate_m == pytest.approx(base_delta[0])
    assert decision.command.arm_m == pytest.approx(0.2 - base_delta[1])
    assert decision.command.lift_m == pytest.approx(0.6 + base_delta[2])


def test_a_tilted_camera_looking_down_moves_forward_and_down():
    config = RobotConfig(camera=CameraMount(tilt_rad=math.radians(30)))
    decision = MotionFilter(config, LIMITS).filter(request((0, 0, 0.04)), a_state())
    expected = [0, -0.04 * math.cos(math.radians(30)), -0.04 * 0.5]
    assert np.allclose(decision.sent_base_delta_m, expected)


def test_scale_is_per_gripper_axis_and_for_unit_actions_in_metres():
    motion = MotionConfig(action_scale=ActionScale.UNIT, scale=(0.04, 0.02, 0.0))
    motion_filter = MotionFilter(
        RobotConfig(camera=CameraMount(tilt_rad=0.0), motion=motion), LIMITS
    )
    unit = np.array([0.6, -0.48, 0.64])  # right, up, forward
    decision = motion_filter.filter(request(unit), a_state())
    assert np.allclose(decision.requested_base_delta_m, [-0.024, -0.0128, 0.0])
    assert np.allclose(decision.sent_base_delta_m, decision.requested_base_delta_m)


def test_long_steps_are_cut_and_both_lengths_reported():
    decision = MotionFilter(LEVEL, LIMITS).filter(request((0.3, 0.0, 0.4)), a_state())
    assert np.linalg.norm(decision.requested_base_delta_m) == pytest.approx(0.5)
    assert np.linalg.norm(decision.sent_base_delta_m) == pytest.approx(0.05)
    cosine = decision.requested_base_delta_m @ decision.sent_base_delta_m / (0.5 * 0.05)
    assert cosine == pytest.approx(1.0)
    assert np.allclose(clip_length(np.array([0.01, 0, 0]), 0.05), [0.01, 0, 0])


def test_a_joint_at_its_limit_is_unreachable_and_never_passed():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    state = a_state(arm_m=0.51)
    out = motion_filter.filter(request((0, 0, 0.04)), state)
    assert out.reason is ReasonCode.UNREACHABLE
    assert out.command.arm_m == pytest.approx(0.515)
    assert np.allclose(out.sent_base_delta_m, [0, -0.005, 0])
    # Mostly sideways: it slides along the limit.
    aside = motion_filter.filter(request((0.04, 0, 0.01)), state)
    assert aside.reason is ReasonCode.NONE and aside.command.arm_m == pytest.approx(0.515)


def test_a_robot_far_outside_its_limits_is_not_dragged_back():
    decision = MotionFilter(LEVEL, LIMITS).filter(request((0, 0, 0.01)), a_state(arm_m=0.7))
    assert (decision.reason, decision.command) == (ReasonCode.UNREACHABLE, None)
    assert "arm_m" in decision.message


def test_the_base_stays_within_its_travel_and_may_come_back():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    memory = FilterMemory(base_origin_m=(0.0, 0.0))
    state = a_state(base_x_m=-0.6)
    away = motion_filter.filter(request((0.04, 0, 0)), state, memory)
    assert away.reason is ReasonCode.UNREACHABLE and away.command.base_translate_m == 0
    back = motion_filter.filter(request((-0.04, 0, 0)), state, memory)
    assert back.command.base_translate_m == pytest.approx(0.04)


def test_held_joints_keep_their_target_until_it_is_far_from_what_is_measured():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    held = HeldTargets(0.61, 0.2, 0.05, 0.0, 0.0)
    memory = FilterMemory(held=held)
    near = motion_filter.filter(request((0, 0, 0.02)), a_state(lift_m=0.6), memory)
    assert near.command.lift_m == pytest.approx(0.61)
    assert near.command.wrist_yaw_rad == pytest.approx(0.05)
    far = motion_filter.filter(request((0, 0, 0.02)), a_state(lift_m=0.55), memory)
    assert far.command.lift_m == pytest.approx(0.55)


def test_no_wind_up_when_the_arm_lags_behind_its_target():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    state, memory = a_state(arm_m=0.3), FilterMemory()
    for _ in range(20):  # the arm never moves
        decision = motion_filter.filter(request((0, 0, 0.04)), state, memory)
        assert abs(decision.command.arm_m - 0.3) <= 0.05 + 1e-9
        memory = decision.memory


def test_the_step_that_closes_does_not_translate_and_pulling_does():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    closing = motion_filter.filter(request((0, 0, 0.04), value=3.0), a_state())
    assert closing.gripper_changes and closing.command.gripper_aperture_m == pytest.approx(-0.032)
    assert not closing.sent_base_delta_m.any() and closing.reason is ReasonCode.NONE
    assert np.allclose(closing.requested_base_delta_m, [0, -0.04, 0])
    state = a_state(gripper_aperture_m=0.015)
    pull = motion_filter.filter(request((0, 0, -0.04), value=3.0), state, closing.memory)
    assert not pull.gripper_changes and np.allclose(pull.sent_base_delta_m, [0, 0.04, 0])
    assert pull.command.gripper_aperture_m == pytest.approx(-0.032)


def test_a_refused_step_changes_no_memory():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    memory = FilterMemory()
    decision = motion_filter.filter(request(value=3.0), a_state(arm_m=0.9), memory)
    assert decision.command is None and decision.memory is memory


def test_a_gripper_that_closed_on_nothing_opens_while_it_backs_off():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    closing = motion_filter.filter(request((0, 0, 0.001), value=3.0), a_state())
    back = request((0, 0, -0.02), value=3.0)
    empty = motion_filter.filter(back, a_state(gripper_aperture_m=-0.002), closing.memory)
    assert empty.gripper_changes and not empty.memory.gripper.closed
    assert empty.command.gripper_aperture_m == pytest.approx(0.064)
    assert np.allclose(empty.sent_base_delta_m, [0, 0.02, 0])
    held = motion_filter.filter(back, a_state(gripper_aperture_m=0.012), closing.memory)
    assert held.memory.gripper.closed and not held.gripper_changes


def test_the_gripper_is_kept_off_floor_base_and_mast():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    low = motion_filter.filter(request((0, 0, 0.04)), a_state(lift_m=0.25, wrist_pitch_rad=-1.2))
    assert (low.reason, low.command) == (ReasonCode.SELF_COLLISION, None)
    assert "floor" in low.message
    # Pointing back over the base, at base height, and coming down on it.
    over_base = a_state(wrist_yaw_rad=2.8, lift_m=0.15, arm_m=0.1)
    down = motion_filter.filter(request((0, 0.04, 0)), over_base)
    assert down.reason is ReasonCode.SELF_COLLISION and "base" in down.message
    up = motion_filter.filter(request((0, -0.04, 0)), over_base)
    assert up.command is not None
    at_mast = a_state(wrist_yaw_rad=3.3, lift_m=0.6, arm_m=0.02)
    into = motion_filter.filter(request((0, 0, 0.04)), at_mast)
    assert into.reason is ReasonCode.SELF_COLLISION and "mast" in into.message


def test_the_filter_is_pure():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    asked, state, memory = request((0.01, 0.02, 0.03), value=1.0), a_state(), FilterMemory()
    first = motion_filter.filter(asked, state, memory)
    second = motion_filter.filter(asked, state, memory)
    assert first.command == second.command and first.memory == second.memory


def test_motion_along_the_arm_alone_leaves_the_base_alone():
    state = a_state(wrist_yaw_rad=0.3)
    motion_filter = MotionFilter(LEVEL, LIMITS)
    towards_arm = (0.02 * math.sin(0.3), 0.0, 0.02 * math.cos(0.3))
    for delta in (towards_arm, tuple(-v for v in towards_arm)):
        command = motion_filter.filter(request(delta), state).command
        assert command is not None
        assert abs(command.arm_m - state.arm_m) == pytest.approx(0.02)
        assert command.base_translate_m == 0.0


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        (ActionScale.UNIT, (0.07, 0.07, 0.0)),
        (ActionScale.METRIC, (1.0, 1.0, 1.0)),
        (ActionScale.METRIC, (0.5, 0.2, 0.1)),
    ],
)
def test_a_step_by_hand_is_in_metres_whatever_the_policys_unit_and_scale(unit, scale):
    motion = MotionConfig(action_scale=unit, scale=scale)
    motion_filter = MotionFilter(LEVEL.model_copy(update={"motion": motion}), LIMITS)
    by_hand = {"driven": True, "action_scale": ActionScale.METRIC}
    for delta, gripper_m in (
        ((0.02, 0.0, 0.0), (0.02, 0.0, 0.0)),
        ((0.0, -0.03, 0.0), (0.0, 0.0, 0.03)),  # up, though the policy's c is 0 there
        ((0.0, 0.0, 0.01), (0.0, 0.01, 0.0)),
    ):
        decision = motion_filter.filter(request(delta, **by_hand), a_state())
        assert decision.reason is ReasonCode.NONE, decision.message
        right_m, forward_m, up_m = gripper_m
        # At yaw 0 the gripper points along the arm: forward is base -y, right base -x.
        np.testing.assert_allclose(
            decision.requested_base_delta_m, (-right_m, -forward_m, up_m), atol=1e-12
        )


def test_the_limits_hold_for_a_step_by_hand_too():
    motion_filter = MotionFilter(LEVEL, LIMITS)
    far = motion_filter.filter(request((0.0, 0.0, 0.5), driven=True), a_state())
    assert np.linalg.norm(far.sent_base_delta_m) <= LEVEL.motion.step_cap_m + 1e-9
    for changes, reason in (
        ({"image_age_s": 10.0}, ReasonCode.STALE_INPUT),
        ({"action_scale": ActionScale.UNIT}, ReasonCode.INVALID_INPUT),
    ):
        refused = motion_filter.filter(request((0, 0, 0.01), driven=True, **changes), a_state())
        assert (refused.reason, refused.command) == (reason, None)
    nan = motion_filter.filter(request((0, math.nan, 0.01), driven=True), a_state())
    assert (nan.reason, nan.command) == (ReasonCode.INVALID_INPUT, None)
