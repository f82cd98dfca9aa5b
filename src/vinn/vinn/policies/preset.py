"""Named settings of a policy: `config/policy/NAME.yaml`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vinn.robot import config_file

PRESETS_DIR = Path(__file__).parent / "presets"
"""The project's `config/policy`, installed with the package."""


class PolicyPreset(BaseModel):
    """Settings of the nearest-neighbour policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(default=10, ge=1)
    bandwidth: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    project_to_unit: bool = False


def load_preset(name_or_path: str) -> PolicyPreset:
    """Read a preset by its name, or from a YAML file.

    Raises:
        ConfigError: no such preset or file, an unknown key, or a value out of range.
    """
    return config_file.load_preset(name_or_path, PolicyPreset, PRESETS_DIR)
