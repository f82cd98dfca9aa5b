"""A task without a simulator: a thing on a line before the hand, and a policy that goes there."""

from __future__ import annotations

import numpy as np
from vinn.demos.types import ActionScale
from vinn.policies.types import Prediction, TakenStep
from vinn.robot.types import ReasonCode
from vinn.tasks.types import Task, TaskSettings

HELD_M, EMPTY_M, OPEN_M = 0.02, 0.0, 0.06


class LineScene:
    """A thing on a line before the hand: closing within a centimetre of it holds it."""

    def __init__(self, seed: int, from_m: float = 0.0) -> None:
        self.way_m = from_m or float(np.random.default_rng(seed).uniform(0.06, 0.12))
        self.forward_m, self.aperture_m, self.closed = 0.0, OPEN_M, False
        self.moves: list[float] = []
        self.freed = False

    @property
    def success(self) -> bool:
        return self.closed and self.aperture_m == HELD_M

    def wrist_image(self) -> np.ndarray:
        return np.full((8, 8, 3), min(255, int(1000 * self.forward_m)), np.uint8)

    def overview_image(self) -> np.ndarray:
        return np.full((24, 32, 3), 90, np.uint8)

    def act(self, camera_delta_m: np.ndarray, closed: bool) -> np.ndarray:
        self.moves.append(float(np.linalg.norm(camera_delta_m)))
        self.forward_m += float(camera_delta_m[2])
        self.closed = closed
        near = abs(self.forward_m - self.way_m) < 0.01
        self.aperture_m = (HELD_M if near else EMPTY_M) if closed else OPEN_M
        return camera_delta_m

    def close(self) -> None:
        self.freed = True


class LinePolicy:
    """Goes forward by steps and closes at places that it is told beforehand."""

    def __init__(
        self,
        step: float,
        close_at_m: tuple[float, ...],
        scale: ActionScale = ActionScale.METRIC,
        refusal: ReasonCode | None = None,
    ) -> None:
        self.action_scale, self._step, self._places = scale, step, close_at_m
        self._refusal = refusal
        self.taken: list[TakenStep] = []

    def reset(self) -> None:
        self._forward_m, self._missed = 0.0, 0
        self.taken.clear()

    def predict(self, image_rgb: np.ndarray) -> Prediction:
        there = self._missed < len(self._places) and (
            self._forward_m >= self._places[self._missed] - 1e-9
        )
        state = 3 if there else 0
        return Prediction(
            camera_delta=np.array([0.0, 0.0, 0.0 if there else self._step]),
            gripper_value=float(state),
            gripper_probabilities=np.eye(4)[state],
            action_scale=self.action_scale,
            refusal=self._refusal,
        )

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        self.taken.append(step)
        self._forward_m += float(step.camera_delta_m[2])
        self._missed += step.missed


def line_task(scenes: list[LineScene], from_m: float = 0.0) -> Task:
    def scene(settings: TaskSettings, seed: int) -> LineScene:
        scenes.append(LineScene(seed, from_m))
        return scenes[-1]

    return Task("line", "Line", "", None, "", lambda settings: None, scene)  # type: ignore[arg-type,return-value]
