"""Settings of a rollout: how long, what is tolerated, where it starts."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vinn.reading.config_file import load_config
from vinn.robot.checks.preflight import PreflightConfig
from vinn.robot.types import ReasonCode

Interval = tuple[float, float]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StartPosesConfig(_Settings):
    """Displacements of the start pose in gripper axes (paper, section IV: +-0.05 m lateral)."""

    right_m: Interval = Field(default=(-0.05, 0.05), description="lateral range, right [m]")
    forward_m: Interval = Field(default=(0.0, 0.0), description="towards the door [m]")
    up_m: Interval = Field(default=(0.0, 0.0), description="height [m]")
    schedule: tuple[tuple[float, float, float], ...] = Field(
        default=(), description="fixed (right, forward, up) in turn instead of the ranges [m]"
    )

    @field_validator("right_m", "forward_m", "up_m")
    @classmethod
    def _interval(cls, value: Interval) -> Interval:
        if not -0.5 <= value[0] <= value[1] <= 0.5:
            raise ValueError("allowed: [lower, upper] within -0.5..0.5")
        return value

    @field_validator("schedule")
    @classmethod
    def _near(
        cls, value: tuple[tuple[float, float, float], ...]
    ) -> tuple[tuple[float, float, float], ...]:
        for offset in value:
            if any(abs(v) > 0.5 for v in offset):
                raise ValueError(f"{offset}: allowed: each within -0.5..0.5")
        return value


class RolloutConfig(_Settings):
    """When a rollout ends by itself."""

    max_steps: int = Field(default=40, ge=1, le=10_000, description="steps asked of the robot")
    steps_per_retry: int = Field(
        default=20, ge=0, le=10_000, description="more steps after a closing on nothing"
    )
    max_duration_s: float = Field(default=300.0, gt=0.0, le=86_400.0, description="[s]")
    tolerated: dict[ReasonCode, int] = Field(
        default={
            ReasonCode.UNREACHABLE: 3,
            ReasonCode.STALLED: 3,
            ReasonCode.SELF_COLLISION: 3,
            ReasonCode.STALE_INPUT: 3,
            ReasonCode.INVALID_IMAGE: 3,
            ReasonCode.NOVEL: 3,
            ReasonCode.NO_GRASP_POINT: 3,
        },
        description="troubled steps in a row, of each kind, that do not yet end the rollout",
    )
    max_driven_duration_s: float = Field(
        default=1800.0, gt=0.0, le=86_400.0, description="of one that the operator drives [s]"
    )
    start_poses: StartPosesConfig = StartPosesConfig()
    preflight: PreflightConfig = PreflightConfig()
    """What must be well before a reset and a start."""

    def for_rollout(self, max_steps: int, driven: bool) -> RolloutConfig:
        """Of one rollout: so many steps, and a person who drives takes longer than a policy."""
        longest_s = self.max_driven_duration_s if driven else self.max_duration_s
        return self.model_copy(update={"max_steps": max_steps, "max_duration_s": longest_s})


def load_rollout_config(path: Path | str) -> RolloutConfig:
    """Read a rollout configuration.

    Raises:
        vinn.errors.ConfigError: one line naming file, key, value and what is allowed.
    """
    return load_config(path, RolloutConfig)
