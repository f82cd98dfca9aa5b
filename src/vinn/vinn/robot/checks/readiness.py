"""Whether a reading is of a robot that may move."""

from __future__ import annotations

from vinn.robot.config import ExecutorConfig
from vinn.robot.types import ReasonCode, RobotState


class Halted(Exception):
    """Ends a motion inside the executor; becomes a `StepResult`."""

    def __init__(self, reason: ReasonCode, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def check_ready(state: RobotState, age_s: float, config: ExecutorConfig) -> None:
    """Let a robot pass that may move.

    Args:
        state: the newest reading.
        age_s: its age [s].
        config: what is allowed.

    Raises:
        Halted: why it may not.
    """
    if age_s > config.max_state_age_s:
        raise Halted(
            ReasonCode.STATE_STALE,
            f"joint states: {age_s:.2f} s old; allowed: {config.max_state_age_s:g} s",
        )
    if state.runstopped:
        raise Halted(ReasonCode.RUNSTOP, "the runstop button is pressed")
    if not state.homed:
        raise Halted(ReasonCode.NOT_HOMED, "the robot is not homed: home it first")
    if state.mode not in config.modes:
        raise Halted(
            ReasonCode.WRONG_MODE, f"mode: {state.mode}; allowed: {', '.join(config.modes)}"
        )
