"""Whether a reading is of a robot that may move."""

from __future__ import annotations

from vinn.robot.config import ExecutorConfig
from vinn.robot.types import ReasonCode, RobotState


def not_ready(
    state: RobotState, age_s: float, config: ExecutorConfig
) -> tuple[ReasonCode, str] | None:
    """Why the robot may not move, in words too; None: it may.

    Args:
        state: the newest reading.
        age_s: its age [s].
        config: what is allowed.
    """
    if age_s > config.max_state_age_s:
        return (
            ReasonCode.STATE_STALE,
            f"joint states: {age_s:.2f} s old; allowed: {config.max_state_age_s:g} s",
        )
    if state.runstopped:
        return ReasonCode.RUNSTOP, "the runstop button is pressed"
    if not state.homed:
        return ReasonCode.NOT_HOMED, "the robot is not homed: home it first"
    if state.mode not in config.modes:
        return ReasonCode.WRONG_MODE, f"mode: {state.mode}; allowed: {', '.join(config.modes)}"
    return None
