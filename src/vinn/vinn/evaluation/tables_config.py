"""Settings of the offline tables: which rows, how much training, which figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vinn.errors import ConfigError
from vinn.evaluation.methods import METHODS
from vinn.learning.config import BackboneConfig, write_config
from vinn.robot.config_file import load_config
from vinn.tasks.registry import TASKS

PRESETS_DIR = Path(__file__).parent / "presets"
"""The project's `config/tables`, installed with the package."""

Count = Annotated[int, Field(ge=1)]


class TablesConfig(BaseModel):
    """What `vinn eval tables` trains and measures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    caption: str
    """Says in the tables what was spent on the methods."""
    tasks: tuple[str, ...] = tuple(TASKS)
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: Count = 3
    record: dict[str, Any] = Field(default_factory=dict)
    """Settings of recording (`vinn.tasks.types.TaskSettings`) for tasks that are not there yet."""
    backbone: BackboneConfig = BackboneConfig()
    """Of every method, for a fair comparison."""
    train: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """For each of byol, simclr, vicreg, bc, bc-rep, ibc: what differs from its defaults."""
    ks: tuple[Count, ...] = (1, 2, 3, 5, 7, 10, 15, 20)
    """Numbers of neighbours to choose from on the training demonstrations."""
    curve_methods: tuple[str, ...] = ()
    """Rows of figure 4."""
    curve_counts: tuple[Count, ...] = ()
    """Numbers of demonstrations of figure 4; larger ones than there are count as all."""
    curve_seeds: Count = 1
    k_curve: tuple[Count, ...] = ()
    """Numbers of neighbours of figure 6."""

    @field_validator("tasks", "methods", "curve_methods")
    @classmethod
    def _known(cls, names: tuple[str, ...], info: Any) -> tuple[str, ...]:
        known = METHODS if "methods" in info.field_name else TASKS
        for name in names:
            if name not in known:
                raise ValueError(f"'{name}' is unknown; known: {', '.join(known)}")
        return names


def load_tables_config(name_or_path: str) -> TablesConfig:
    """Read a preset by its name, or a YAML file.

    Raises:
        ConfigError: no such preset or file, an unknown key, or a value out of range.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = PRESETS_DIR / f"{name_or_path}.yaml"
        known = sorted(file.stem for file in PRESETS_DIR.glob("*.yaml"))
        if name_or_path not in known:
            raise ConfigError(
                f"preset '{name_or_path}' is unknown; known: {', '.join(known)}, or a .yaml file"
            )
    return load_config(path, TablesConfig)


def claim_workspace(root: Path, config: TablesConfig) -> None:
    """Make a workspace's folder, or go on in one of the same budgets.

    Rows, seeds, tasks and figures may change between calls; what training depends on may not.

    Raises:
        ConfigError: `root` was made with another backbone, other training or other recordings.
    """
    path = Path(root) / "config.yaml"
    if path.exists():
        found = load_config(path, TablesConfig)
        for key in ("backbone", "train", "record", "ks"):
            if getattr(found, key) != getattr(config, key):
                raise ConfigError(
                    f"{path}: made with {key} = {getattr(found, key)}, wanted "
                    f"{getattr(config, key)}; use another folder"
                )
    Path(root).mkdir(parents=True, exist_ok=True)
    write_config(config, path)
