"""The step loop of a rollout: look, predict, execute, until something ends it.

Written once, for the supervisor node and for evaluation alike: what a prediction or a step costs,
and whether it crosses processes, is hidden in the callables.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vinn.errors import CameraError, ImageError, MessageError, RobotError, VinnError
from vinn.policies.types import Prediction
from vinn.robot.types import ReasonCode, StepResult
from vinn.rollout.config import RolloutConfig


class RolloutInterrupted(Exception):
    """Raised by `predict`, `execute` or `check` to end the rollout with a reason of their own."""

    def __init__(self, reason: ReasonCode, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class StepRecord:
    """One turn of the loop."""

    sequence: int
    """1, 2, ...: the number the step was executed under."""
    reason: ReasonCode
    """NONE: predicted, executed and arrived."""
    message: str
    prediction: Prediction | None
    """None where there was no usable image."""
    result: StepResult | None
    """None where nothing was asked of the robot."""
    predict_s: float
    execute_s: float


@dataclass(frozen=True)
class RolloutOutcome:
    """How a rollout ended."""

    reason: ReasonCode
    message: str
    records: tuple[StepRecord, ...]
    duration_s: float

    @property
    def success(self) -> bool:
        """Whether the check reported success."""
        return self.reason is ReasonCode.SUCCESS

    @property
    def steps(self) -> int:
        """Steps the robot was sent."""
        return sum(r.result is not None and r.result.sent is not None for r in self.records)

    @property
    def attempts(self) -> int:
        """How often the gripper began to close."""
        return max((r.result.attempt for r in self.records if r.result is not None), default=0)


def run_rollout(
    predict: Callable[[float], Prediction],
    execute: Callable[[Prediction, int], StepResult],
    check: Callable[[], ReasonCode | None],
    config: RolloutConfig,
    on_step: Callable[[StepRecord], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    advance: Callable[[Prediction, StepResult], None] | None = None,
) -> RolloutOutcome:
    """Run one rollout to its end.

    Args:
        predict: from an image captured after the last motion had settled, at `clock` time
            `settled_s` (its argument); waits for one if need be.
        execute: does one step under a strictly increasing sequence number, 1 first.
        check: polled before and after every step; SUCCESS, a stop or a fault ends the rollout
            (`RolloutInterrupted` instead of a reason gives a message as well).
        config: limits, and how much trouble is tolerated.
        on_step: told every turn as it ends.
        clock: seconds that never jump.
        advance: told every step of which something was sent, arrived or not, before the next
            prediction: what a policy remembers. None: the policy hears of it in another way.

    An `ImageError` of `predict` counts as INVALID_IMAGE, a `CameraError` as CAMERA_STALE, any other
    `VinnError` as POLICY_LOST, one of `advance` too; a `RobotError` of `execute` as ROBOT_ERROR, a
    `MessageError` of either as INVALID_INPUT.
    """
    started_s = settled_s = clock()
    records: list[StepRecord] = []
    in_a_row: dict[ReasonCode, int] = {}
    reason: ReasonCode | None
    message = ""
    while True:
        reason, message = _checked(check)
        if reason is not None:
            break
        missed = sum(record.result is not None and record.result.missed for record in records)
        allowed = config.max_steps + missed * config.steps_per_retry
        if len(records) >= allowed:
            reason, message = ReasonCode.STEP_LIMIT, f"{allowed} steps without success"
            break
        if clock() - started_s > config.max_duration_s:
            reason = ReasonCode.TIME_LIMIT
            message = f"{config.max_duration_s:g} s without success"
            break
        record = _turn(predict, execute, advance, len(records) + 1, settled_s, clock)
        settled_s = clock()
        records.append(record)
        if on_step is not None:
            on_step(record)
        if record.reason is ReasonCode.NONE:
            in_a_row.clear()
            continue
        in_a_row[record.reason] = in_a_row.get(record.reason, 0) + 1
        if in_a_row[record.reason] > config.tolerated.get(record.reason, 0):
            # The check knows better why, if a stop or the success came in the meantime.
            reason, message = _checked(check)
            if reason is None or reason is record.reason:
                reason, message = record.reason, record.message
            break
    return RolloutOutcome(reason, message, tuple(records), clock() - started_s)


def _checked(check: Callable[[], ReasonCode | None]) -> tuple[ReasonCode | None, str]:
    try:
        return check(), ""
    except RolloutInterrupted as end:
        return end.reason, end.message


def _turn(
    predict: Callable[[float], Prediction],
    execute: Callable[[Prediction, int], StepResult],
    advance: Callable[[Prediction, StepResult], None] | None,
    sequence: int,
    settled_s: float,
    clock: Callable[[], float],
) -> StepRecord:
    begin_s = predicted_s = clock()
    prediction: Prediction | None = None
    result: StepResult | None = None
    try:
        prediction = predict(settled_s)
        predicted_s = clock()
        result = execute(prediction, sequence)
        reason, message = result.reason, result.message
        if advance is not None and result.sent is not None:
            advance(prediction, result)
    except RolloutInterrupted as end:
        reason, message = end.reason, end.message
    except VinnError as error:
        reason, message = (
            _reason_of(error, executing=prediction is not None and result is None),
            str(error),
        )
    end_s = clock()
    if prediction is None:
        predicted_s = end_s
    return StepRecord(
        sequence=sequence,
        reason=reason,
        message=message,
        prediction=prediction,
        result=result,
        predict_s=predicted_s - begin_s,
        execute_s=end_s - predicted_s,
    )


def _reason_of(error: VinnError, executing: bool) -> ReasonCode:
    if isinstance(error, ImageError):
        return ReasonCode.INVALID_IMAGE
    if isinstance(error, MessageError):
        return ReasonCode.INVALID_INPUT
    if isinstance(error, CameraError):
        return ReasonCode.CAMERA_STALE
    if isinstance(error, RobotError) or executing:
        return ReasonCode.ROBOT_ERROR
    return ReasonCode.POLICY_LOST
