"""A hand that closed on nothing tries again as often as is allowed, and no oftener."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fake_stretch import FakeStretch
from vinn.robot.config import CameraMount, RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.gripper_config import EmptyRule, GripperConfig
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import REFUSALS, ReasonCode, StepRequest, StepResult

OPEN_STEPS = 2
BAR_M = 0.012


def an_executor(attempts: int = 3, **empty: object) -> tuple[FakeStretch, StepExecutor]:
    gripper = GripperConfig(
        attempts=attempts, empty=EmptyRule(open_steps=OPEN_STEPS, **empty), min_closed_steps=0
    )
    config = RobotConfig(camera=CameraMount(tilt_rad=0.0), gripper=gripper)
    robot = FakeStretch()
    return robot, StepExecutor(robot, MotionFilter(config, robot.limits()), config.executor)


def closing(sequence: int, forward_m: float = 0.004) -> StepRequest:
    """What a policy that always wants to close says."""
    forth = forward_m if sequence % 2 else -forward_m
    return StepRequest("s", sequence, np.array([0, 0, forth]), 3.0, np.eye(4)[3])


def run(
    executor: StepExecutor, steps: int, before: Callable[[int], None] = lambda n: None
) -> list[StepResult]:
    """Steps until something ends them, as a rollout does."""
    results = []
    for sequence in range(1, steps + 1):
        before(sequence)
        results.append(executor.execute(closing(sequence)))
        if results[-1].reason is not ReasonCode.NONE:
            break
    return results


@pytest.mark.parametrize("allowed", [1, 2, 3, 5])
@pytest.mark.parametrize("by_session", [False, True])
def test_after_the_last_allowed_miss_the_rollout_ends_open_and_still(
    allowed: int, by_session: bool
) -> None:
    robot, executor = an_executor(attempts=9 if by_session else allowed)
    executor.begin_session("s", allowed if by_session else None)
    assert executor.attempts == allowed
    results = run(executor, 100)
    last = results[-1]
    times = "once" if allowed == 1 else f"{allowed} times"
    assert last.reason is ReasonCode.NO_GRASP
    assert last.message == f"closed on nothing {times}; allowed: {allowed}"
    assert sum(result.missed for result in results) == allowed
    assert last.attempt == allowed
    # It let go where it was, and that was all.
    assert last.sent is not None
    assert not last.gripper_closed
    assert robot.current.gripper_aperture_m == pytest.approx(0.064, abs=0.005)
    assert np.linalg.norm(last.measured_camera_delta_m) < 0.004
    assert not last.sent_base_delta_m.any()
    # No fault of the robot: nothing is latched, and the next rollout begins afresh.
    assert executor.latched is None
    sent = len(robot.commands)
    again = executor.execute(closing(500))
    assert (again.reason, again.sent) == (ReasonCode.NO_GRASP, None)
    assert len(robot.commands) == sent
    executor.begin_session("s", allowed)
    robot.grip_m = BAR_M
    assert {result.reason for result in run(executor, 6)} == {ReasonCode.NONE}


@pytest.mark.parametrize("seed", range(5))
def test_every_miss_is_told_once_and_every_closing_counted(seed: int) -> None:
    """With a bar that comes and goes between the fingers."""
    rng = np.random.default_rng(seed)
    robot, executor = an_executor(attempts=1000)
    executor.begin_session("s")
    closed, attempts, missed = False, 0, 0
    for sequence in range(1, 60):
        robot.grip_m = BAR_M if rng.uniform() < 0.5 else None
        found_m = robot.current.gripper_aperture_m
        result = executor.execute(closing(sequence))
        assert result.reason is ReasonCode.NONE
        attempts += result.gripper_closed and not closed
        # It is a miss where the hand was closed and nothing was between the fingers.
        assert result.missed == (closed and found_m < 0.004)
        missed += result.missed
        assert (not result.missed) or not result.gripper_closed
        closed = result.gripper_closed
        assert result.attempt == attempts
    assert attempts >= missed > 0


def test_a_hand_that_holds_is_at_its_first_attempt() -> None:
    robot, executor = an_executor(attempts=1)
    robot.grip_m = BAR_M
    executor.begin_session("s")
    results = run(executor, 12)
    assert len(results) == 12
    assert results[-1].attempt == 1
    assert not any(result.missed for result in results)
    assert results[-1].gripper_aperture_m == pytest.approx(BAR_M, abs=0.003)


def test_without_the_empty_rule_nothing_is_counted() -> None:
    _, executor = an_executor(attempts=1, enabled=False)
    executor.begin_session("s")
    results = run(executor, 12)
    assert len(results) == 12
    assert not any(result.missed for result in results)


def test_a_prediction_that_refuses_itself_moves_nothing() -> None:
    for reason in ReasonCode:
        robot, executor = an_executor()
        executor.begin_session("s")
        request = closing(1)
        result = executor.execute(
            StepRequest(
                "s",
                1,
                request.camera_delta,
                3.0,
                request.gripper_probabilities,
                refusal=reason,
            )
        )
        expected = reason if reason in REFUSALS else ReasonCode.INVALID_INPUT
        assert (result.reason, result.sent, robot.commands) == (expected, None, [])
    assert ReasonCode.NO_GRASP_POINT in REFUSALS
