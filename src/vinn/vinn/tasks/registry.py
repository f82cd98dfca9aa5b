"""All tasks by name; a package adds its own in the group "vinn.tasks".

Simulators are imported when a task is recorded, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vinn.errors import ConfigError
from vinn.reading.config_file import load_config
from vinn.registry import Registry
from vinn.robot.config import CameraMount, RobotConfig
from vinn.robot.gripper_config import EmptyRule, GripperConfig
from vinn.tasks.metaworld_environments import ENVIRONMENTS, HOLDING
from vinn.tasks.types import Task, TaskSettings

SAWYER = CameraMount(tilt_rad=-0.085, right_m=0.0403, forward_m=-0.1041, up_m=0.0104)
"""Meta-World's `gripperPOV`: the hand points down, its right, forward and up are x, -z and y of the
world, and the camera sits beside it."""


def _lazily(module: str, name: str, extra: str, *first: str) -> Callable[..., Any]:
    """Make something of a module that needs a simulator, imported when it is made.

    It is called with `first`, then with the task's settings and what else is given.
    """

    def make(settings: TaskSettings, *rest: int) -> Any:
        try:
            return getattr(import_module(module), name)(*first, settings, *rest)
        except ImportError as cause:
            raise ConfigError(
                f"task {settings.task} needs the module '{cause.name}': pip install 'vinn[{extra}]'"
            ) from cause

    return make


def metaworld_task(environment: str, name: str = "", title: str = "", **known: Any) -> Task:
    """The task of any environment of Meta-World: its expert, its signal of success.

    Args:
        environment: e.g. "door-open-v3".
        name: of the task; that of the environment if left out.
        title: for tables.
        known: further fields of `Task`.
    """
    # The robot opens fingers that closed on nothing; here most experts close them to push.
    holds = EmptyRule(enabled=environment in HOLDING)
    plain = environment.removesuffix("-v3").replace("-", " ").capitalize()
    fields: dict[str, Any] = {
        "description": f"{plain} (Meta-World {environment})",
        "paper_task": None,
        **known,
    }
    return Task(
        name=name or environment,
        title=title or plain,
        needs="tasks",
        recorder=_lazily("vinn.tasks.metaworld", "MetaWorldRecorder", "tasks", environment),
        scene=_lazily("vinn.tasks.metaworld", "MetaWorldScene", "tasks", environment),
        robot=RobotConfig(camera=SAWYER, gripper=GripperConfig(empty=holds)),
        mirrored=False,
        **fields,
    )


class TaskRegistry(Registry[Task]):
    """The tasks of this package and of others, and every environment of Meta-World by its name.

    The latter are not among those that are listed: fifty are too many to be meant by "all".
    """

    def __contains__(self, name: object) -> bool:
        return name in ENVIRONMENTS or super().__contains__(name)

    def __getitem__(self, name: str) -> Task:
        if name in ENVIRONMENTS:
            return metaworld_task(name)
        try:
            return super().__getitem__(name)
        except ConfigError as unknown:
            if name in self:
                raise
            raise ConfigError(f"{unknown}, or of Meta-World: {', '.join(ENVIRONMENTS)}") from None


_SHIPPED: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "door",
            "Door opening",
            "Stretch opens three cabinets by their handle (MuJoCo, difficulty hard)",
            "Door Opening",
            "sim",
            _lazily("vinn.tasks.door", "DoorRecorder", "sim"),
        ),
        Task(
            "stacking",
            "Stacking",
            "Stretch sets the near block on the far one (MuJoCo, diverse blocks and backgrounds)",
            "Stacking",
            "sim",
            _lazily("vinn.tasks.stacking", "StackingRecorder", "sim"),
            _lazily("vinn.tasks.stacking_scene", "StackingScene", "sim"),
            # Setting down begins with "almost open", which has to count as opening.
            RobotConfig(gripper=GripperConfig(open_below=1.4)),
        ),
        metaworld_task(
            "push-v3",
            "pushing",
            "Pushing",
            description="push a puck to a goal (Meta-World push-v3)",
            paper_task="Pushing",
        ),
        metaworld_task(
            "door-open-v3",
            "door-metaworld",
            "Door opening (Meta-World)",
            description="open a safe by its handle (Meta-World door-open-v3)",
        ),
    )
}


def task_named(name: str) -> Task:
    """A task by its name.

    Raises:
        ConfigError: unknown name; the known ones are listed.
    """
    return TASKS[name]


TASKS = TaskRegistry("task", "vinn.tasks", Task, _SHIPPED)


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
