"""Settings of the tables of tasks: which tasks, rows, seeds and trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vinn.demos.types import ActionScale
from vinn.errors import ConfigError
from vinn.paper.methods import ALL_METHODS
from vinn.paper.tasks.trials import ROLLOUT
from vinn.reading.config_file import Settings, load_preset
from vinn.tasks.registry import TASKS
from vinn.tasks.types import TaskSettings

PRESETS_DIR = Path(__file__).parent / "presets"
"""The project's `config/task_tables`, installed with the package."""

Seed = Annotated[int, Field(ge=0, le=100_000)]


class Published(Settings):
    """Success of another method, as its authors printed it.

    Attributes:
        title: of the method.
        source: where it was read: paper, table, page.
        percent: task to success in %.
        differs: what differs in the protocol, in a sentence.
    """

    title: str
    source: str
    percent: dict[str, float]
    differs: str


class TaskTablesConfig(Settings):
    """What `vinn eval tasks` measures."""

    title: str
    """Of the page."""
    training: str
    """Preset or file of `vinn eval tables` whose budgets train the methods, and whose `record` says
    how demonstrations are recorded."""
    tasks: dict[str, dict[str, Any]]
    """Name to what its recording has different (`TaskSettings`)."""
    goal_tasks: tuple[str, ...] = ()
    """Tasks over which the goal's mean is taken."""
    goal_mean: Annotated[float, Field(ge=0, le=100)] | None = None
    """Success in % that the best row of nearest neighbours shall reach there; None: no goal."""
    goal_ahead_of: str | None = None
    """The row which that one shall be ahead of, by an interval without zero."""
    methods: tuple[str, ...]
    """Rows, each given the same trials."""
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of rows whose difference is tested."""
    demonstrations: Annotated[int, Field(ge=1)] = 10
    """Of each task."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 20
    """Of each row on each task, for each seed."""
    seeds: tuple[Seed, ...] = (0,)
    """Each decides demonstrations, training and trials."""
    actions: ActionScale = ActionScale.METRIC
    max_steps: Annotated[int, Field(ge=1, le=10_000)] = ROLLOUT.max_steps
    """Of a trial, before retries."""
    published: tuple[Published, ...] = ()

    def part(
        self,
        tasks: tuple[str, ...] | None = None,
        methods: tuple[str, ...] | None = None,
        seeds: tuple[str, ...] | None = None,
    ) -> TaskTablesConfig:
        """The same with some tasks, rows and seeds alone; None: all of them.

        Raises:
            ConfigError: one of them is not there.
        """
        tasks = _among("tasks", tasks, tuple(self.tasks))
        methods = _among("methods", methods, self.methods)
        chosen = _among("seeds", seeds, tuple(map(str, self.seeds)))
        whole = set(self.tasks) == set(tasks)
        return self.model_copy(
            update={
                "tasks": {name: self.tasks[name] for name in tasks},
                "methods": methods,
                "seeds": tuple(map(int, chosen)),
                "compare": tuple(pair for pair in self.compare if set(pair) <= set(methods)),
                # A goal over all of its tasks is no goal over some.
                "goal_tasks": self.goal_tasks if whole else (),
                "goal_mean": self.goal_mean if whole else None,
                "goal_ahead_of": (
                    self.goal_ahead_of if whole and self.goal_ahead_of in methods else None
                ),
            }
        )

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, tasks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, changes in tasks.items():
            if name not in TASKS:
                raise ValueError(f"'{name}' is unknown; see `vinn tasks list`")
            for key in changes:
                if key not in TaskSettings.model_fields:
                    raise ValueError(f"{name}: '{key}' is no setting of a recording")
        if not tasks:
            raise ValueError("at least one task is needed")
        return tasks

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in ALL_METHODS:
                raise ValueError(f"'{name}' is unknown; known: {', '.join(ALL_METHODS)}")
        return names

    @field_validator("methods", "seeds", "goal_tasks")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError(f"{', '.join(map(str, values))}: each once")
        if not values and info.field_name != "goal_tasks":
            raise ValueError("at least one is needed")
        return values

    @model_validator(mode="after")
    def _belongs_together(self) -> TaskTablesConfig:
        rows = {name for pair in self.compare for name in pair}
        if self.goal_ahead_of is not None:
            rows.add(self.goal_ahead_of)
        for name in sorted(rows - set(self.methods)):
            raise ValueError(f"'{name}' is compared and is not one of the methods")
        for name in self.goal_tasks:
            if name not in self.tasks:
                raise ValueError(f"goal_tasks: '{name}' is not one of the tasks")
        if self.goal_mean is not None and not self.goal_tasks:
            raise ValueError("goal_mean needs goal_tasks")
        return self


def _among(what: str, wanted: tuple[str, ...] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for name in wanted or ():
        if name not in known:
            raise ConfigError(f"{what}: '{name}' is not of the preset: {', '.join(known)}")
    return known if wanted is None else tuple(name for name in known if name in wanted)


def load_task_tables_config(name_or_path: str) -> TaskTablesConfig:
    """Read a preset by its name, or a YAML file.

    Raises:
        ConfigError: no such preset or file, an unknown key, or a value out of range.
    """
    return load_preset(name_or_path, TaskTablesConfig, PRESETS_DIR)
