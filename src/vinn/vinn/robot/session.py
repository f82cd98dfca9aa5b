"""What an executor counts of one rollout: its steps, and how far the hand has been taken."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vinn.robot.types import StepResult


@dataclass(frozen=True)
class SessionTally:
    """A session so far.

    Attributes:
        session: id of the rollout; empty: none.
        last_sequence: of the last step taken on, whatever became of it.
        taken_step: sequence of the last step of which something was sent and which has ended; 0:
            none yet.
        steps_taken: how many such steps there were.
        travelled_camera_m: (3,) sum of their measured translations. Each is in the camera's axes
            before its step; the wrist is held, so that these stay the same.
    """

    session: str = ""
    last_sequence: int = -1
    taken_step: int = 0
    steps_taken: int = 0
    travelled_camera_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def after(self, result: StepResult) -> SessionTally:
        """With what became of the step taken on last."""
        if result.sent is None:
            return self
        return replace(
            self,
            taken_step=self.last_sequence,
            steps_taken=self.steps_taken + 1,
            travelled_camera_m=self.travelled_camera_m + result.measured_camera_delta_m,
        )
