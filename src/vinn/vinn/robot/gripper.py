"""When the gripper closes and opens.

The policy's signal is a weighted mean over neighbours that disagree near a change of state, so it
passes slowly through the middle. Two thresholds (hysteresis) keep it from chattering.

Stall rule. Where half of the neighbours still approach and half already close, the mean
translation shrinks towards zero while the mean state stays below `close_above`; the hand then
hangs in front of the handle for ever, since the same view gives the same answer. So when the motion
commanded in each of the last `stall.steps` steps was shorter than `stall.motion_m` and the signal
is at least `stall.close_above`, the gripper closes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vinn.robot.config import GripperConfig


@dataclass(frozen=True)
class GripperMemory:
    """What the decision depends on besides the signal."""

    closed: bool = False
    closed_steps: int = 0
    """Steps since it closed."""
    still_steps: int = 0
    """Steps in a row, up to the last one, whose commanded motion was below `stall.motion_m`."""


def gripper_signal(
    value: float, probabilities: NDArray[np.float64], config: GripperConfig
) -> float:
    """The signal compared with the thresholds, 0 (open) .. 3 (closed).

    Args:
        value: weighted mean of the four states, 0..3.
        probabilities: (4,) of open, almost open, almost closed, closed.
        config: which of the two counts.
    """
    if config.signal == "value":
        return float(value)
    return 3.0 * float(probabilities[2] + probabilities[3])


def decide_gripper(memory: GripperMemory, signal: float, config: GripperConfig) -> GripperMemory:
    """The next state for a finite signal in 0..3; a pure function."""
    if memory.closed:
        may_open = memory.closed_steps >= config.min_closed_steps
        if may_open and signal < config.open_below:
            return GripperMemory(closed=False)
        return replace(memory, closed_steps=memory.closed_steps + 1)
    stalled = (
        config.stall.enabled
        and memory.still_steps >= config.stall.steps
        and signal >= config.stall.close_above
    )
    if signal >= config.close_above or stalled:
        return GripperMemory(closed=True)
    return memory


def note_motion(
    memory: GripperMemory, sent_motion_m: float, config: GripperConfig
) -> GripperMemory:
    """Count a commanded translation of length `sent_motion_m` [m] for the stall rule."""
    still = sent_motion_m < config.stall.motion_m
    return replace(memory, still_steps=memory.still_steps + 1 if still else 0)


class GripperStateMachine:
    """The same with its memory kept, for users that step it by hand."""

    def __init__(self, config: GripperConfig) -> None:
        self.config = config
        self.memory = GripperMemory()

    def update(
        self, value: float, probabilities: NDArray[np.float64], sent_motion_m: float = np.inf
    ) -> bool:
        """Take one signal and the translation sent with it [m]; True while closed."""
        signal = gripper_signal(value, probabilities, self.config)
        self.memory = note_motion(
            decide_gripper(self.memory, signal, self.config), sent_motion_m, self.config
        )
        return self.memory.closed
