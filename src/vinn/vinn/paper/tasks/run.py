"""Policies on any tasks in closed loop, trial by trial: the same trials for every row.

    WORK/data/seed-SEED/TASK                                     demonstrations
    WORK/task_trials/TASK-HASH/SETTINGS/METHOD.jsonl             trials, a line each
    WORK/TASK-HASH/units/no-policy-METHOD.json                   why a row has none

A killed run goes on with the next trial.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vinn.errors import DatasetError
from vinn.evaluation.policy_source import PolicySource
from vinn.evaluation.provenance import running_commit
from vinn.evaluation.trial_files import append_trial, cut_torn_trial, read_trials
from vinn.evaluation.trial_pool import TrialPool
from vinn.evaluation.trials import trial_seed
from vinn.paper.methods import Method, method_named
from vinn.paper.offline.config import TablesConfig
from vinn.paper.preset_rows import row_preset
from vinn.paper.tasks.config import TaskTablesConfig
from vinn.paper.tasks.trials import ROLLOUT, SceneTrial
from vinn.paper.workspace import HASH_LENGTH, Workspace
from vinn.tasks.data import TaskData, open_task
from vinn.tasks.recording import record_task
from vinn.tasks.registry import task_settings
from vinn.tasks.types import WRIST_CAMERA, TaskSettings

OnTrial = Callable[[int, int, str], None]
"""Called with (trials done, trials in all, what is next)."""
OFF_THE_HAND = "grasp points need the camera whose place on the hand is configured"


@dataclass(frozen=True)
class RecordedTask:
    """A task's demonstrations of one seed.

    Attributes:
        seed: decides demonstrations, training and trials.
        data: the demonstrations.
        settings: they were recorded with; trials show the same pictures.
    """

    seed: int
    data: TaskData
    settings: TaskSettings


@dataclass(frozen=True)
class TaskOutcome:
    """What the tables need of a trial."""

    task: str
    seed: int
    trial: int
    success: bool
    attempts: int
    steps: int
    reason: str
    commit: str

    @property
    def first_attempt(self) -> bool:
        """Whether the task was done with one closing at most."""
        return self.success and self.attempts <= 1


Outcomes = Mapping[tuple[str, str], tuple[TaskOutcome, ...]]
"""Task and method to the trials of all seeds, in the same order for every method."""


def record_tasks(
    config: TaskTablesConfig,
    training: TablesConfig,
    root: Path,
    on_stage: Callable[[str, int, int], None] | None = None,
) -> list[RecordedTask]:
    """The demonstrations of all tasks and seeds; what is there already is kept.

    Args:
        config: which.
        training: its `record` is what all tasks share.
        root: folder of recorded tasks.
        on_stage: told what is recorded, demonstrations done, and demonstrations in all.

    Raises:
        ConfigError: a simulator is missing, or `root` holds other settings.
        DatasetError: an expert keeps failing.
    """
    found = []
    for seed in config.seeds:
        for name, changes in config.tasks.items():
            known = {**training.record, **changes, "seed": seed}
            # One held-out demonstration: data without any are none.
            settings = task_settings(name, **known, train=config.demonstrations, test=1)
            folder = root / f"seed-{seed}"
            told = None if on_stage is None else partial(on_stage, f"recording {name}, seed {seed}")
            record_task(settings, folder, told)
            found.append(RecordedTask(seed, open_task(folder, name, config.actions), settings))
    return found


def run_task_tables(
    config: TaskTablesConfig,
    recorded: Sequence[RecordedTask],
    workspace: Workspace,
    on_trial: OnTrial | None = None,
    pool: TrialPool | None = None,
) -> None:
    """Do every trial that was not done yet; `read_outcomes` gives the results.

    Args:
        config: what to measure.
        recorded: of `record_tasks`.
        workspace: trains and finds the policies.
        on_trial: told of progress.
        pool: does the trials; None: this process.

    Raises:
        ConfigError, DatasetError, ArtefactError: of the parts; what is complete is kept.
    """
    pool = pool or TrialPool(1)
    total = len(recorded) * len(config.methods) * config.trials
    done = 0
    for task in recorded:
        for name in config.methods:
            what = f"{task.data.name}, seed {task.seed}, {name}"
            path = trials_path(config, task, workspace, name)
            kept = min(len(read_trials(path)), config.trials)
            done += kept
            if kept < config.trials and _refused(task, workspace, name) is None:
                if on_trial is not None:
                    on_trial(done, total, f"{what}: policy")
                source = _policy(task, workspace, method_named(name))
                if source is not None:
                    cut_torn_trial(path)
                    jobs = [scene_trial(config, task, source, i) for i in range(config.trials)]
                    for result in pool.run(jobs[kept:]):
                        append_trial(path, {**result.as_json(), "commit": running_commit()})
                        done, kept = done + 1, kept + 1
                        if on_trial is not None:
                            on_trial(done, total, what)
            done += config.trials - kept
    if on_trial is not None:
        on_trial(total, total, "done")


def scene_trial(
    config: TaskTablesConfig, task: RecordedTask, source: PolicySource, trial: int
) -> SceneTrial:
    """One trial of the tables."""
    return SceneTrial(
        source,
        task.data.name,
        task.settings,
        trial,
        trial_seed(task.seed, 0, trial),
        ROLLOUT.model_copy(update={"max_steps": config.max_steps}),
    )


def read_outcomes(
    config: TaskTablesConfig, recorded: Sequence[RecordedTask], workspace: Workspace
) -> Outcomes:
    """The trials that were done so far; rows with missing trials are left out."""
    found: dict[tuple[str, str], list[TaskOutcome]] = {}
    incomplete = set()
    for task in recorded:
        for name in config.methods:
            key = (task.data.name, name)
            lines = read_trials(trials_path(config, task, workspace, name))[: config.trials]
            if len(lines) < config.trials:
                incomplete.add(key)
            found.setdefault(key, []).extend(
                TaskOutcome(
                    task.data.name,
                    task.seed,
                    line["trial"],
                    line["success"],
                    line["attempts"],
                    line["steps"],
                    line["reason"],
                    line["commit"],
                )
                for line in lines
            )
    return {key: tuple(value) for key, value in found.items() if key not in incomplete}


def read_refusals(
    config: TaskTablesConfig, recorded: Sequence[RecordedTask], workspace: Workspace
) -> dict[tuple[str, str], str]:
    """Task and method to why there is no such policy, for at least one seed."""
    found = {}
    for task in recorded:
        for method in config.methods:
            unit = _refused(task, workspace, method)
            if unit is not None:
                found[task.data.name, method] = str(unit["refused"])
    return found


def _refused(task: RecordedTask, workspace: Workspace, method: str) -> dict[str, Any] | None:
    return workspace.measured_unit(workspace.task_dir(task.data), f"no-policy-{method}")


def trials_path(
    config: TaskTablesConfig, task: RecordedTask, workspace: Workspace, method: str
) -> Path:
    """The file of a row's trials. What changes a trial is part of the name."""
    shown = task.settings.model_dump(mode="json", exclude={"train", "test", "pool"})
    settings = json.dumps([shown, config.actions.value, config.max_steps], sort_keys=True)
    digest = hashlib.sha256(settings.encode()).hexdigest()[:HASH_LENGTH]
    folder = f"{task.data.name}-{task.data.train.hash[:HASH_LENGTH]}"
    return workspace.root / "task_trials" / folder / digest / f"{method}.jsonl"


def _policy(task: RecordedTask, workspace: Workspace, method: Method) -> PolicySource | None:
    """The policy of a row; None where the task has no place to grasp at, which is then kept."""
    needs_grasp_point = method.preset is not None and row_preset(method).grasp_point is not None
    try:
        if needs_grasp_point and task.settings.camera != WRIST_CAMERA:
            raise DatasetError(OFF_THE_HAND)
        return PolicySource(workspace.policy(method, task.data, task.seed))
    except DatasetError as refused:
        if not needs_grasp_point:
            raise
        why = {"refused": str(refused).removeprefix(f"{task.data.train.root}: ")}
        folder = workspace.task_dir(task.data)
        workspace.unit(folder, f"no-policy-{method.name}", lambda: why)
        return None
