"""Random actions: the floor of every error table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import check_image
from vinn.demos.types import ActionScale
from vinn.policies.memory import GRIPPER_STATES, ActionMemory
from vinn.policies.types import Prediction, TakenStep


class RandomPolicy:
    """Uniform directions of the demonstrations' mean step length, uniform gripper states.

    Every step has one action. The seed fixes the whole sequence; `reset` does not restart it, so
    that episodes differ. `seed_episode` makes an episode's own sequence.
    """

    def __init__(self, memory: ActionMemory, seed: int = 0) -> None:
        """Take scale and step length (mean over moving steps) from `memory`."""
        lengths = np.linalg.norm(memory.camera_delta, axis=1)
        moving = lengths[lengths > 0]
        self.step_length = float(moving.mean()) if len(moving) else 0.0
        self._action_scale = memory.action_scale
        self._seed, self._rng = seed, np.random.default_rng(seed)
        self._next = self._draw()

    @property
    def action_scale(self) -> ActionScale:
        """See `Policy.action_scale`."""
        return self._action_scale

    def reset(self) -> None:
        """Nothing to forget; the sequence goes on."""

    def seed_episode(self, seed: int) -> None:
        """See `SeededPolicy`."""
        self._rng = np.random.default_rng([self._seed, seed])
        self._next = self._draw()

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """See `Policy.predict`; the image is only checked."""
        check_image(image_rgb)
        direction, state = self._next
        return Prediction(
            camera_delta=self.step_length * direction,
            gripper_value=float(state),
            gripper_probabilities=np.eye(GRIPPER_STATES)[state],
            action_scale=self._action_scale,
        )

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        """See `Policy.advance`."""
        self._next = self._draw()

    def _draw(self) -> tuple[NDArray[np.float64], int]:
        """A direction (3,) of length 1 and a gripper state."""
        direction = self._rng.normal(size=3)
        return direction / np.linalg.norm(direction), int(self._rng.integers(GRIPPER_STATES))
