"""What a task is: something whose demonstrations can be recorded episode by episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.robot.config import RobotConfig

SPLITS = ("train", "test", "pool")
"""Parts of a recorded task: demonstrations, held-out ones, and more for learning curves."""

WRIST_CAMERA = "gripperPOV"
"""Meta-World's camera on the hand."""
CAMERA_SEPARATOR = "+"


class TaskSettings(BaseModel):
    """How a task is recorded. The counts are the paper's (section IV-A)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    seed: int = Field(default=0, ge=0)
    train: int = Field(default=71, ge=1)
    test: int = Field(default=21, ge=1)
    pool: int = Field(default=0, ge=0)
    """Further demonstrations, for the learning curve (figure 4)."""
    image_px: int = Field(default=128, ge=32, le=1024)
    """Side of the square frames."""
    frame_stride: int = Field(default=3, ge=1)
    """Meta-World: simulator steps per frame; a frame's action is what they add up to."""
    goal_visible: bool = True
    """Meta-World: whether the goal's marker is drawn."""
    camera: str = Field(default=WRIST_CAMERA, min_length=1)
    """Meta-World: the camera, or several with `CAMERA_SEPARATOR` between, side by side in the
    picture; actions are in the axes of the first one."""
    frames_after_success: int = Field(default=0, ge=0, le=100)
    """Meta-World: so many frames more are shown once the task is done: to go on pushing."""
    difficulty: str = "hard"
    """Door: difficulty of the scene."""


@dataclass(frozen=True)
class Episode:
    """One episode of an expert that succeeded. T frames; frame i was seen before action i.

    Attributes:
        frames_rgb: T images, (H, W, 3) uint8.
        camera_delta_m: (T, 3) float32, in the camera's optical frame.
        gripper: (T,) int8, states 0..3.
        provenance: what else decides how it came to be.
    """

    frames_rgb: tuple[NDArray[np.uint8], ...]
    camera_delta_m: NDArray[np.float32]
    gripper: NDArray[np.int8]
    provenance: dict[str, Any] = field(default_factory=dict)
    fovy_rad: float | None = None
    """Vertical field of view of the camera, which has square pixels; None: unknown."""


class Recorder(Protocol):
    """Runs the expert of one task."""

    def episode(self, seed: int) -> Episode | None:
        """Run one episode; None if the expert failed."""

    def close(self) -> None:
        """Free renderers."""


class TaskScene(Protocol):
    """One episode of a task that a policy acts in. One thread uses it; `close` frees it."""

    @property
    def success(self) -> bool:
        """Whether the task is done."""

    @property
    def aperture_m(self) -> float:
        """Between the finger tips, measured [m]; 0 where they touch."""

    def wrist_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, what the camera at the gripper sees now."""

    def overview_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, the whole scene from beside, for people."""

    def act(self, camera_delta_m: NDArray[np.float64], closed: bool) -> NDArray[np.float64]:
        """Move the gripper, and open or close it.

        Args:
            camera_delta_m: (3,) translation in the camera's optical axes [m].
            closed: what the fingers are to do.

        Returns:
            (3,) how far the point between the finger tips really moved, same axes [m].
        """

    def close(self) -> None:
        """Free the renderer."""


@dataclass(frozen=True)
class Task:
    """A task that can be recorded.

    Attributes:
        name: as in `vinn tasks record NAME`.
        title: for tables.
        description: one line.
        paper_task: the row of the paper's table III it stands for; None for a task of our own.
        needs: the extra of the package that has its simulator.
        recorder: starts the simulator.
        scene: an episode of a seed for a policy to act in; None where `vinn eval closed-loop` has
            its own (door).
        robot: how the camera sits on the hand, and when the gripper closes.
        mirrored: whether left and right may change places: a camera in the middle of a symmetrical
            hand.
    """

    name: str
    title: str
    description: str
    paper_task: str | None
    needs: str
    recorder: Callable[[TaskSettings], Recorder]
    scene: Callable[[TaskSettings, int], TaskScene] | None = None
    robot: RobotConfig = field(default_factory=RobotConfig)
    mirrored: bool = True
