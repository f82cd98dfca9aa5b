"""How hard the task is: start poses, the gripper's opening, the latch, and what varies in the view.

`easy` is the quick start: wide starts, so that replaying a mean motion fails, but a steady view.
`hard` is for telling methods apart: wider starts, a short handle, a narrower gripper, a latch, and
light, colours, camera, backgrounds and clutter redrawn for every episode. It is frozen: tables are
only comparable while it, and what it draws from a seed, stay as they are.
`paper` has the paper's starts (section IV-A): 0.15 m from the handle and up to 5 cm to either side,
in scenes as varied as those of `hard`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.errors import ConfigError


class Difficulty(BaseModel):
    """Ranges; every episode draws from them with its own seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    start_right_m: float = Field(ge=0.0, le=0.2)
    start_forward_m: float = Field(ge=0.0, le=0.1)
    start_up_m: float = Field(ge=0.0, le=0.2)
    """Half ranges of the start offset, in gripper axes (right, forward, up)."""
    handle_length_factor: float = Field(default=1.0, gt=0.2, le=1.5)
    gripper_aperture_m: float = Field(default=0.068, ge=0.02, le=0.15)
    """How far the gripper can open."""
    latch_nm: tuple[float, float] = (0.0, 0.0)
    """Torque that keeps the closed door shut."""
    light_jitter: float = Field(default=0.0, ge=0.0, le=1.0)
    """Relative change of the lights' strength; their direction moves along."""
    color_jitter: float = Field(default=0.0, ge=0.0, le=1.0)
    """Change of every surface's colour."""
    camera_jitter_m: float = Field(default=0.0, ge=0.0, le=0.05)
    camera_jitter_rad: float = Field(default=0.0, ge=0.0, le=0.3)
    """How the camera sits on the gripper (the mount the robot believes in stays as configured)."""
    exposure_stops: float = Field(default=0.0, ge=0.0, le=2.0)
    """How far the camera's exposure is off, either way, in stops."""
    white_balance: float = Field(default=0.0, ge=0.0, le=0.5)
    """Relative error of the camera's red and blue gains."""
    distractors: int = Field(default=0, ge=0, le=12)
    """Pictures scattered over the door and the fronts beside it."""
    varied_background: bool = False
    """Floor, wall and fixed fronts redrawn for every episode."""
    pixel_noise: float = Field(default=2.0, gt=0.0, le=30.0)
    """Standard deviation of the sensor noise, of 255."""
    expert_step_m: tuple[float, float] = (0.02, 0.035)
    """Longest step of the expert, drawn per demonstration."""
    expert_noise_m: float = Field(default=0.0, ge=0.0, le=0.02)
    """Standard deviation of a disturbance of the expert's approach, per axis and step."""

    def start_offset(self, seed: int) -> NDArray[np.float64]:
        """(3,) offset of a start pose from the nominal one, in gripper axes [m]."""
        half = np.array([self.start_right_m, self.start_forward_m, self.start_up_m])
        return np.random.default_rng([seed, 0x57A7]).uniform(-half, half)


_VARIED: dict[str, Any] = {
    "latch_nm": (0.5, 2.0),
    "light_jitter": 0.5,
    "color_jitter": 0.2,
    "camera_jitter_m": 0.006,
    "camera_jitter_rad": 0.04,
    "exposure_stops": 0.7,
    "white_balance": 0.15,
    "distractors": 8,
    "varied_background": True,
    "pixel_noise": 4.0,
    "expert_step_m": (0.018, 0.032),
    "expert_noise_m": 0.006,
}
"""Of every difficulty whose scenes change from episode to episode."""

DIFFICULTIES: dict[str, Difficulty] = {
    difficulty.name: difficulty
    for difficulty in (
        Difficulty(name="easy", start_right_m=0.07, start_forward_m=0.025, start_up_m=0.04),
        Difficulty(
            name="hard",
            start_right_m=0.12,
            start_forward_m=0.05,
            start_up_m=0.09,
            handle_length_factor=0.5,
            gripper_aperture_m=0.05,
            **_VARIED,
        ),
        Difficulty(
            name="paper",
            start_right_m=0.05,
            start_forward_m=0.0,
            start_up_m=0.0,
            gripper_aperture_m=0.05,
            **_VARIED,
        ),
    )
}


def difficulty_named(name: str) -> Difficulty:
    """A difficulty by name.

    Raises:
        ConfigError: unknown name.
    """
    if name not in DIFFICULTIES:
        raise ConfigError(f"difficulty {name!r} is unknown; allowed: {', '.join(DIFFICULTIES)}")
    return DIFFICULTIES[name]
