"""Open loop: the mean demonstration, played blindly (the paper's weakest sensible control)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import check_image
from vinn.demos.types import ActionScale
from vinn.policies.memory import GRIPPER_STATES, ActionMemory
from vinn.policies.types import Prediction, TakenStep


class OpenLoopPolicy:
    """At step t of an episode: the mean action of all demonstrations that reach step t.

    The gripper is treated alike: the shares of the four states at step t. After the end of the
    longest demonstration the translation is zero and the gripper stays as in the last step. Images
    are only checked.
    """

    def __init__(self, memory: ActionMemory) -> None:
        """Average the demonstrations in `memory` step by step."""
        steps = memory.frames.astype(np.int64)
        self._action_scale = memory.action_scale
        counts = np.bincount(steps)[:, None]
        self.mean_delta = np.zeros((len(counts), 3))
        np.add.at(self.mean_delta, steps, memory.camera_delta.astype(np.float64))
        self.mean_delta /= counts
        self.state_shares = np.zeros((len(counts), GRIPPER_STATES))
        np.add.at(self.state_shares, (steps, memory.gripper.astype(np.int64)), 1.0)
        self.state_shares /= counts
        self._step = 0

    @property
    def action_scale(self) -> ActionScale:
        """See `Policy.action_scale`."""
        return self._action_scale

    def reset(self) -> None:
        """Go back to the first step."""
        self._step = 0

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """See `Policy.predict`."""
        check_image(image_rgb)
        step, last = self._step, len(self.mean_delta) - 1
        shares = self.state_shares[min(step, last)]
        return Prediction(
            camera_delta=self.mean_delta[step].copy() if step <= last else np.zeros(3),
            gripper_value=float(shares @ np.arange(GRIPPER_STATES)),
            gripper_probabilities=shares.copy(),
            action_scale=self._action_scale,
        )

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        """See `Policy.advance`; whatever the robot did, the next step is due."""
        self._step += 1
