"""The operator's hand in a rollout: who has control, and the steps that are asked for by hand.

A step by hand is one step of the rollout like the policy's: recorded, within the same limits, of an
image from after the last motion. It is asked for and answered one at a time; what comes when none
is waited for is refused and never kept, or a press that was late would move a robot that stands
otherwise by then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from vinn.demos.types import ActionScale, GripperState
from vinn.policies.types import Prediction
from vinn.robot.types import ReasonCode

Told = tuple[ReasonCode, str]
_POLL_S = 0.05
_SOON_S = 1.0
"""So long a step may be asked for before it is waited for: the last one's end is heard of earlier
than the rollout goes on."""


@dataclass(frozen=True)
class HandStep:
    """What the operator wants next.

    Attributes:
        camera_delta_m: (3,) translation in the camera's optical frame [m].
        close: whether the gripper is to be closed after it.
    """

    camera_delta_m: NDArray[np.float64]
    close: bool

    def prediction(self) -> Prediction:
        """As a policy that is sure of it would have said."""
        state = GripperState.CLOSED if self.close else GripperState.OPEN
        return Prediction(
            camera_delta=self.camera_delta_m,
            gripper_value=float(state),
            gripper_probabilities=np.eye(len(GripperState))[state],
            action_scale=ActionScale.METRIC,
        )


class Driving:
    """Passes steps from whoever drives to the rollout that waits for them. Thread-safe."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._engaged = False
        self._waiting = False
        self._wanted: HandStep | None = None
        self._answer: Told | None = None
        self._asking = False
        """Somebody waits for the end of a step."""

    @property
    def engaged(self) -> bool:
        """Whether the operator has control."""
        return self._engaged

    def engage(self, engaged: bool) -> None:
        """Give the operator control, or take it away; a step that runs ends, none is kept."""
        with self._news:
            self._engaged = engaged
            if self._wanted is not None:
                self._deliver((ReasonCode.NOT_READY, "control went to and fro meanwhile"))
            self._news.notify_all()

    # The rollout

    def wait(self, ended: Callable[[], bool]) -> HandStep | None:
        """Wait for the operator's next step.

        Args:
            ended: polled; True ends the waiting, for there is nothing to wait for any more.

        Returns:
            None: the operator has no control any more, or `ended`.
        """
        with self._news:
            try:
                self._waiting = True
                self._news.notify_all()
                while self._engaged and self._wanted is None and not ended():
                    self._news.wait(_POLL_S)
                wanted, self._wanted = self._wanted, None
                return wanted
            finally:
                self._waiting = False

    def tell(self, told: Told) -> None:
        """How the step that was asked for has ended."""
        with self._news:
            self._deliver(told)

    def end(self, told: Told) -> None:
        """The rollout has ended: nobody has control, whoever waits is told why."""
        with self._news:
            self._engaged = False
            self._deliver(told)

    def _deliver(self, told: Told) -> None:
        self._wanted = None
        if self._asking and self._answer is None:
            self._answer = told
        self._news.notify_all()

    # Who drives

    def ask(self, step: HandStep, timeout_s: float) -> Told:
        """Have a step done; returns how it ended, or why it was refused."""
        with self._news:
            if self._asking:
                return ReasonCode.BUSY, "another step by hand is under way"
            if not self._news.wait_for(lambda: self._waiting or not self._engaged, _SOON_S):
                return ReasonCode.BUSY, "the last step has not ended"
            if not self._engaged:
                return ReasonCode.NOT_READY, "the operator has no control: supervisor/take_over"
            self._asking, self._answer, self._wanted = True, None, step
            self._news.notify_all()
            try:
                if self._news.wait_for(lambda: self._answer is not None, timeout_s):
                    return self._answer or (ReasonCode.TIMEOUT, "")
                return ReasonCode.TIMEOUT, f"the step has not ended within {timeout_s:g} s"
            finally:
                self._asking = False
                self._wanted = None
