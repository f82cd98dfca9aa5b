"""When the gripper closes and opens.

The policy's signal is a weighted mean over neighbours that disagree near a change of state, so it
passes slowly through the middle. Two thresholds (hysteresis) keep it from chattering.

Once something is held (the fingers stopped `empty.aperture_m` or more apart) another threshold may
count, `open_below_holding`, or none at all, `sticky`: what tool and task need differs, so a tool
profile may give its own.

Two rules go beyond the paper, which had a person confirm every step; both can be switched off.

Stall rule. Where half of the neighbours still approach and half already close, the mean
translation shrinks towards zero while the mean state stays below `close_above`; the hand then
hangs in front of the handle for ever, since the same view gives the same answer. Or it pushes
against the door. So when the hand moved less than `stall.motion_m` in each of the last
`stall.steps` steps and the signal is at least `stall.close_above`, the gripper closes.

Empty rule. A gripper that closed to less than `empty.aperture_m` holds nothing, and a policy that
sees closed fingers would pull its empty hand away. So it opens again, takes the step that the
policy wants (it backs off), and does not close for `empty.open_steps` steps: a new approach. After
`attempts` closings on nothing the rollout ends (NO_GRASP): the gripper opens and stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vinn.robot.gripper_config import GripperConfig


@dataclass(frozen=True)
class GripperMemory:
    """What the decision depends on besides the signal."""

    closed: bool = False
    closed_steps: int = 0
    """Steps since it closed."""
    still_steps: int = 0
    """Steps in a row, up to the last one, in which the hand moved less than `stall.motion_m`."""
    barred_steps: int = 0
    """Steps in which it may not close yet, after it closed on nothing."""
    closings: int = 0
    """How often it began to close."""
    misses: int = 0
    """How often it was opened again because it had closed on nothing."""


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


def decide_gripper(
    memory: GripperMemory, signal: float, aperture_m: float, config: GripperConfig
) -> GripperMemory:
    """The next state; a pure function.

    Args:
        memory: of the steps before.
        signal: finite, 0..3.
        aperture_m: measured between the finger tips [m].
        config: thresholds and rules.
    """
    if memory.closed:
        if config.empty.enabled and aperture_m < config.empty.aperture_m:
            return replace(
                _opened(memory), barred_steps=config.empty.open_steps, misses=memory.misses + 1
            )
        if memory.closed_steps >= config.min_closed_steps and _lets_go(signal, aperture_m, config):
            return _opened(memory)
        return replace(memory, closed_steps=memory.closed_steps + 1)
    if memory.barred_steps > 0:
        return replace(memory, barred_steps=memory.barred_steps - 1)
    stalled = (
        config.stall.enabled
        and memory.still_steps >= config.stall.steps
        and signal >= config.stall.close_above
    )
    if signal >= config.close_above or stalled:
        return GripperMemory(closed=True, closings=memory.closings + 1, misses=memory.misses)
    return memory


def _opened(memory: GripperMemory) -> GripperMemory:
    return GripperMemory(closings=memory.closings, misses=memory.misses)


def _lets_go(signal: float, aperture_m: float, config: GripperConfig) -> bool:
    """Whether a gripper that has closed opens again."""
    if aperture_m < config.empty.aperture_m:
        return signal < config.open_below
    # Something is held: the values after the grasp count.
    held_below = config.open_below_holding
    return not config.sticky and signal < (config.open_below if held_below is None else held_below)


def note_motion(memory: GripperMemory, moved_m: float, config: GripperConfig) -> GripperMemory:
    """Count how far the hand moved in the step just done [m], for the stall rule."""
    still = moved_m < config.stall.motion_m
    return replace(memory, still_steps=memory.still_steps + 1 if still else 0)


class GripperStateMachine:
    """The same with its memory kept, for users that step it by hand."""

    def __init__(self, config: GripperConfig) -> None:
        self.config = config
        self.memory = GripperMemory()

    def update(
        self,
        value: float,
        probabilities: NDArray[np.float64],
        aperture_m: float = np.inf,
        moved_m: float = np.inf,
    ) -> bool:
        """Take one signal, the measured aperture, and the motion that followed; True: closed."""
        signal = gripper_signal(value, probabilities, self.config)
        memory = decide_gripper(self.memory, signal, aperture_m, self.config)
        self.memory = note_motion(memory, moved_m, self.config)
        return self.memory.closed
