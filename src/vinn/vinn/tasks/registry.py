"""All tasks by name. Simulators are imported when a task is recorded, not before."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from vinn.errors import ConfigError
from vinn.reading.config_file import load_config
from vinn.tasks.types import Recorder, Task, TaskSettings


def _door(settings: TaskSettings) -> Recorder:
    return _start("vinn.tasks.door", "DoorRecorder", settings, "sim")


def _stacking(settings: TaskSettings) -> Recorder:
    return _start("vinn.tasks.stacking", "StackingRecorder", settings, "sim")


def _pushing(settings: TaskSettings) -> Recorder:
    return _start("vinn.tasks.metaworld", "push", settings, "tasks")


def _metaworld_door(settings: TaskSettings) -> Recorder:
    return _start("vinn.tasks.metaworld", "door_open", settings, "tasks")


def _start(module: str, name: str, settings: TaskSettings, extra: str) -> Recorder:
    try:
        recorder: Recorder = getattr(import_module(module), name)(settings)
    except ImportError as cause:
        raise ConfigError(
            f"task {settings.task} needs the module '{cause.name}': pip install 'vinn[{extra}]'"
        ) from cause
    return recorder


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "door",
            "Door opening",
            "Stretch opens three cabinets by their handle (MuJoCo, difficulty hard)",
            "Door Opening",
            "sim",
            _door,
        ),
        Task(
            "stacking",
            "Stacking",
            "Stretch sets the near block on the far one (MuJoCo, diverse blocks and backgrounds)",
            "Stacking",
            "sim",
            _stacking,
        ),
        Task(
            "pushing",
            "Pushing",
            "push a puck to a goal (Meta-World push-v3)",
            "Pushing",
            "tasks",
            _pushing,
        ),
        Task(
            "door-metaworld",
            "Door opening (Meta-World)",
            "open a safe by its handle (Meta-World door-open-v3)",
            None,
            "tasks",
            _metaworld_door,
        ),
    )
}


def task_named(name: str) -> Task:
    """A task by its name.

    Raises:
        ConfigError: unknown name; the known ones are listed.
    """
    if name not in TASKS:
        raise ConfigError(f"task '{name}' is unknown; known: {', '.join(TASKS)}")
    return TASKS[name]


def task_settings(name: str, file: Path | None = None, **changes: object) -> TaskSettings:
    """Settings of a task: the defaults, then a YAML file, then single changes that are not None.

    Raises:
        ConfigError: unknown task or key, a value out of range, or a file of another task.
    """
    task_named(name)
    settings = TaskSettings(task=name) if file is None else load_config(file, TaskSettings)
    if settings.task != name:
        raise ConfigError(f"{file}: task is '{settings.task}', wanted '{name}'")
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return TaskSettings.model_validate({**settings.model_dump(), **given})
    except ValidationError as cause:
        first = cause.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{key}: {first['msg']}, got {first['input']!r}") from cause
