"""Settings of the gripper's state machine: see `vinn.robot.gripper`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vinn.reading.config_file import Settings


class StallRule(Settings):
    """Close when the hand hovers: see `vinn.robot.gripper`."""

    enabled: bool = True
    motion_m: float = Field(
        default=0.008, ge=0.0, le=0.1, description="a hand that moved less stood still [m]"
    )
    steps: int = Field(default=2, ge=1, le=100, description="after so many such steps in a row")
    close_above: float = Field(
        default=0.6, ge=0.0, le=3.0, description="only while the signal is at least this [0..3]"
    )


class EmptyRule(Settings):
    """Open again when nothing is between the fingers: see `vinn.robot.gripper`."""

    enabled: bool = True
    aperture_m: float = Field(
        default=0.004, ge=-0.2, le=0.1, description="closed to less than this is empty [m]"
    )
    open_steps: int = Field(
        default=3, ge=0, le=100, description="steps before it may close once more"
    )


class GripperConfig(Settings):
    """When the gripper closes and opens. The signal runs from 0 (open) to 3 (closed).

    What a tool profile gives under `gripper` counts unless the robot's file says otherwise.
    """

    signal: Literal["value", "probability"] = Field(
        default="value",
        description="value: the averaged state; probability: 3 (P(almost closed) + P(closed))",
    )
    close_above: float = Field(default=1.5, ge=0.0, le=3.0, description="close at or above [0..3]")
    open_below: float = Field(default=0.75, ge=0.0, le=3.0, description="open below [0..3]")
    min_closed_steps: int = Field(
        default=2, ge=0, le=10_000, description="once closed stay so for this many steps"
    )
    open_below_holding: float | None = Field(
        default=None,
        ge=0.0,
        le=3.0,
        description="in place of open_below once something is held [0..3]",
    )
    sticky: bool = Field(
        default=False, description="once something is held it is held to the end of the rollout"
    )
    attempts: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="closings on nothing that are allowed in a rollout; 1: no second try",
    )
    stall: StallRule = StallRule()
    empty: EmptyRule = EmptyRule()

    @model_validator(mode="after")
    def _hysteresis(self) -> GripperConfig:
        if (self.open_below_holding or 0.0) > self.close_above:
            raise ValueError(
                f"open_below_holding {self.open_below_holding:g} must not be above close_above "
                f"{self.close_above:g} (hysteresis)"
            )
        if self.open_below > self.close_above:
            raise ValueError(
                f"open_below {self.open_below:g} must not be above close_above "
                f"{self.close_above:g} (hysteresis)"
            )
        return self
