"""The supervisor's states, events and transitions as one table.

    IDLE --reset--> RESETTING --reset done--> READY --start--> RUNNING --end--> ENDED --reset--> ...

Whatever is not in the table is refused with a reason: BUSY while something is under way, NOT_READY
where something must come first. A stop changes no state by itself: the work that is under way sees
it, holds the robot and reports its end.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType

from vinn.robot.types import ReasonCode


class RolloutState(IntEnum):
    """States of the supervisor; the numbers are those of vinn_msgs/msg/RolloutStatus."""

    IDLE = 0
    """Needs a reset."""
    RESETTING = 1
    READY = 2
    """Reset done: a rollout may start."""
    RUNNING = 3
    ENDED = 4
    """May be labelled; needs a reset."""

    @classmethod
    def name_of(cls, number: int) -> str:
        """The name of the state in a message; one that this version does not know is a number."""
        return cls(number).name if number in list(cls) else f"state {number}"


class RolloutEvent(str, Enum):
    """What an operator asks for, and what the work under way reports."""

    RESET = "reset"
    START = "start"
    STOP = "stop"
    LABEL = "label"
    RESET_DONE = "reset done"
    RESET_FAILED = "reset failed"
    END = "end"
    FAULT = "fault"
    """The robot must not move: what was prepared is void."""


_S, _E = RolloutState, RolloutEvent

TRANSITIONS: Mapping[tuple[RolloutState, RolloutEvent], RolloutState] = MappingProxyType(
    {
        (_S.IDLE, _E.RESET): _S.RESETTING,
        (_S.IDLE, _E.FAULT): _S.IDLE,
        (_S.RESETTING, _E.RESET_DONE): _S.READY,
        (_S.RESETTING, _E.RESET_FAILED): _S.IDLE,
        (_S.RESETTING, _E.STOP): _S.RESETTING,
        (_S.RESETTING, _E.FAULT): _S.RESETTING,
        (_S.READY, _E.RESET): _S.RESETTING,
        (_S.READY, _E.START): _S.RUNNING,
        (_S.READY, _E.FAULT): _S.IDLE,
        (_S.RUNNING, _E.END): _S.ENDED,
        (_S.RUNNING, _E.STOP): _S.RUNNING,
        (_S.RUNNING, _E.FAULT): _S.RUNNING,
        (_S.ENDED, _E.RESET): _S.RESETTING,
        (_S.ENDED, _E.LABEL): _S.ENDED,
        (_S.ENDED, _E.FAULT): _S.ENDED,
    }
)
"""(state, event) -> next state. Everything else is refused."""

_REFUSALS: Mapping[RolloutState, tuple[ReasonCode, str]] = MappingProxyType(
    {
        _S.IDLE: (ReasonCode.NOT_READY, "reset first"),
        _S.RESETTING: (ReasonCode.BUSY, "a reset is under way"),
        _S.READY: (ReasonCode.NOT_READY, "no rollout is running or has just ended"),
        _S.RUNNING: (ReasonCode.BUSY, "a rollout is running"),
        _S.ENDED: (ReasonCode.NOT_READY, "the rollout has ended: reset first"),
    }
)


@dataclass(frozen=True)
class Refusal:
    """Why an event was not accepted; the state is unchanged."""

    reason: ReasonCode
    message: str


class RolloutMachine:
    """The table and its current state. Thread-safe: of many starts at once one is accepted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = RolloutState.IDLE

    @property
    def state(self) -> RolloutState:
        """The current state."""
        return self._state

    def handle(self, event: RolloutEvent) -> Refusal | None:
        """Apply `event`. None: accepted; else why it was refused."""
        with self._lock:
            following = TRANSITIONS.get((self._state, event))
            if following is None:
                reason, what = _REFUSALS[self._state]
                return Refusal(reason, f"{event.value}: refused in {self._state.name}: {what}")
            self._state = following
            return None
