"""Settings of the closed-loop tables: which methods, which scenes, how many trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vinn.demos.types import ActionScale
from vinn.paper.methods import ALL_METHODS
from vinn.reading.config_file import load_preset
from vinn.sim.difficulty import DIFFICULTIES
from vinn.sim.scene import Occlusion

PRESETS_DIR = Path(__file__).parent / "presets"
"""The project's `config/closed_loop`, installed with the package."""


class ClosedLoopConfig(BaseModel):
    """What `vinn eval closed-loop-tables` measures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    difficulty: str = "hard"
    """Of every trial (`vinn.sim.difficulty`)."""
    training: str = "reduced"
    """Preset or file of `vinn eval tables` whose budgets train the methods."""
    methods: tuple[str, ...]
    """Rows on the cabinets of the demonstrations (table I)."""
    general_methods: tuple[str, ...] = ()
    """Rows on covered, left-out and sampled cabinets (table II and beyond)."""
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of rows whose difference is tested; the same trials count for both."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 10
    """Per cabinet."""
    general_trials: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Per covered or left-out cabinet, the first of `trials`; None for as many."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of starts, appearances and noise of all trials."""
    policy_seed: Annotated[int, Field(ge=0)] = 0
    """Of training."""
    actions: ActionScale = ActionScale.UNIT
    """Of the demonstrations: of length 1 as in the paper, or as they were recorded."""
    scale_m: Annotated[float, Field(gt=0.0, le=0.05)] = 0.025
    """Length of a step for an action of length 1: the paper's c, the same along all axes."""
    occlusions: tuple[Occlusion, ...] = ()
    left_out: bool = False
    """Each cabinet once with a policy of the other cabinets' demonstrations."""
    sampled: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Seeds of freshly sampled cabinets."""
    sampled_trials: Annotated[int, Field(ge=1, le=1000)] = 2
    """Per sampled cabinet."""

    @field_validator("difficulty")
    @classmethod
    def _known_difficulty(cls, name: str) -> str:
        if name not in DIFFICULTIES:
            raise ValueError(f"'{name}' is unknown; known: {', '.join(DIFFICULTIES)}")
        return name

    @field_validator("methods", "general_methods")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in ALL_METHODS:
                raise ValueError(f"'{name}' is unknown; known: {', '.join(ALL_METHODS)}")
        if len(set(names)) != len(names):
            raise ValueError(f"{', '.join(names)}: each method once")
        return names

    @field_validator("compare")
    @classmethod
    def _pairs(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for pair in pairs:
            cls._known(pair)
        return pairs


def load_closed_loop_config(name_or_path: str) -> ClosedLoopConfig:
    """Read a preset by its name, or a YAML file.

    Raises:
        ConfigError: no such preset or file, an unknown key, or a value out of range.
    """
    return load_preset(name_or_path, ClosedLoopConfig, PRESETS_DIR)
