"""Where the joints were last told to be: what the next step is counted from."""

from __future__ import annotations

from dataclasses import dataclass

from vinn.robot.config import MotionConfig
from vinn.robot.types import RobotState


@dataclass(frozen=True)
class HeldTargets:
    """The joint targets of the last command.

    A joint that a step does not move keeps its *target*. Were it re-targeted to what is measured,
    gravity or the pull of a door would move it a little each step and it would creep away.
    """

    lift_m: float
    arm_m: float
    wrist_yaw_rad: float
    wrist_pitch_rad: float
    wrist_roll_rad: float


def held_targets(state: RobotState, held: HeldTargets | None, config: MotionConfig) -> HeldTargets:
    """Where each joint is counted from: its last target, or what is measured if far from it."""

    def pick(name: str, tolerance: float) -> float:
        measured = float(getattr(state, name))
        if held is None:
            return measured
        target = float(getattr(held, name))
        return target if abs(target - measured) <= tolerance else measured

    return HeldTargets(
        lift_m=pick("lift_m", config.resync_m),
        arm_m=pick("arm_m", config.resync_m),
        wrist_yaw_rad=pick("wrist_yaw_rad", config.resync_rad),
        wrist_pitch_rad=pick("wrist_pitch_rad", config.resync_rad),
        wrist_roll_rad=pick("wrist_roll_rad", config.resync_rad),
    )
