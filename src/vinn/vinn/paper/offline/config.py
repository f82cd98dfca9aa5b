"""Settings of the offline tables: which rows, how much training, which figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vinn.errors import ConfigError
from vinn.learning.config import BackboneConfig, write_config
from vinn.paper.methods import METHODS
from vinn.reading.config_file import load_config, load_preset
from vinn.tasks.registry import TASKS

PRESETS_DIR = Path(__file__).parent / "presets"
"""The project's `config/tables`, installed with the package."""

Count = Annotated[int, Field(ge=1)]


class TablesConfig(BaseModel):
    """What `vinn eval tables` trains and measures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    caption: str
    """Says in the tables what was spent on the methods."""
    tasks: tuple[str, ...] = TASKS.own
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

    def with_methods(self, names: tuple[str, ...]) -> TablesConfig:
        """The same with some rows alone; figures 4 and 6 only of encoders that a row trains."""
        encoders = {METHODS[name].encoder for name in names}
        return self.model_copy(
            update={
                "methods": names,
                "curve_methods": tuple(
                    name
                    for name in self.curve_methods
                    if METHODS[name].encoder in {None, *encoders}
                ),
                "k_curve": self.k_curve if METHODS["vinn"].encoder in encoders else (),
            }
        )

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
    return load_preset(name_or_path, TablesConfig, PRESETS_DIR)


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
