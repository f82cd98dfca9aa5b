"""Policies on tasks other than the door, in closed loop: the same trials for every row.

WORK/TASK-HASH/units/closed-loop-METHOD-TRIALS.json    the trials of one row
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vinn.errors import DatasetError
from vinn.evaluation.results import Results
from vinn.evaluation.statistics import SuccessRate, opened_at_first, paired_difference
from vinn.paper.methods import method_named
from vinn.paper.tasks.trials import TRIAL_IMAGE_PX, TaskTrial, run_task_trials
from vinn.paper.workspace import Workspace
from vinn.policies.artefact import load_policy
from vinn.tasks.data import TaskData
from vinn.tasks.registry import task_named, task_settings

ROWS = ("grasp-point", "vinn-plus")
"""The first one is compared with each other one."""
TASKS_MEASURED = ("stacking", "pushing", "door-metaworld")
SEED = 0

OnTrial = Callable[[int, int, str], None]
"""Called with (trials done, trials in all, what is next)."""


def run_task_tables(
    tasks: Sequence[TaskData], workspace: Workspace, trials: int, on_trial: OnTrial | None = None
) -> None:
    """Do the rows that were not done yet; a killed run goes on with the next row.

    Args:
        tasks: recorded, metric actions.
        workspace: trains and finds the policies.
        trials: of each row.
        on_trial: told of progress.

    Raises:
        ConfigError, DatasetError, ArtefactError: of the parts; what is complete is kept.
    """
    total = len(tasks) * len(ROWS) * trials
    for place, data in enumerate(tasks):
        for row, method in enumerate(ROWS):
            before = (place * len(ROWS) + row) * trials

            def told(result: TaskTrial, data: TaskData = data, before: int = before) -> None:
                if on_trial is not None:
                    on_trial(before + result.trial + 1, total, data.name)

            if on_trial is not None:
                on_trial(before, total, f"{data.name}, {method}: policy")
            _unit(data, workspace, method, trials, told)


def task_results(
    tasks: Sequence[TaskData], workspace: Workspace, trials: int, command: str
) -> Results:
    """Rates and paired differences of all rows, as far as they were measured."""
    results = Results("tasks", command, of_kept=True)
    for data in tasks:
        found = {
            method: workspace.measured_unit(workspace.task_dir(data), _unit_name(method, trials))
            for method in ROWS
        }
        for method, unit in found.items():
            if unit is not None:
                _add_row(results, f"{data.name}: {method_named(method).title}", unit)
        first = found[ROWS[0]]
        for other in ROWS[1:]:
            _add_difference(results, data.name, other, first, found[other])
    return results


def _unit_name(method: str, trials: int) -> str:
    return f"closed-loop-{method}-{trials}"


def _unit(
    data: TaskData,
    workspace: Workspace,
    method: str,
    trials: int,
    on_trial: Callable[[TaskTrial], None],
) -> dict[str, Any]:
    def measure() -> dict[str, Any]:
        try:
            policy = load_policy(workspace.policy(method_named(method), data, SEED))
        except DatasetError as refusal:
            # A task without a place to close at has no such policy: that is the row.
            return {"refused": str(refusal).removeprefix(f"{data.train.root}: ")}
        settings = task_settings(data.name, image_px=TRIAL_IMAGE_PX)
        done = run_task_trials(
            policy, task_named(data.name), settings, trials, SEED, on_trial=on_trial
        )
        return {"trials": [trial.as_json() for trial in done]}

    return workspace.unit(workspace.task_dir(data), _unit_name(method, trials), measure)


def _add_row(results: Results, name: str, unit: dict[str, Any]) -> None:
    if "refused" in unit:
        results.add(name, "no policy", unit["refused"])
        return
    trials = unit["trials"]
    rate = SuccessRate.of(trial["success"] for trial in trials)
    first = SuccessRate.of(
        bool(opened_at_first(trial["success"], trial["attempts"])) for trial in trials
    )
    results.add(
        name,
        round(100 * rate.successes / rate.trials, 1),
        f"% done, 95 % {100 * rate.low:.0f} to {100 * rate.high:.0f}, n {rate.trials}; at the "
        f"first attempt {first.share}",
    )


def _add_difference(
    results: Results,
    task: str,
    other: str,
    first: dict[str, Any] | None,
    second: dict[str, Any] | None,
) -> None:
    if first is None or second is None or "refused" in first or "refused" in second:
        return
    pair = paired_difference(
        [trial["success"] for trial in first["trials"]],
        [trial["success"] for trial in second["trials"]],
    )
    results.add(
        f"{task}: {method_named(ROWS[0]).title} minus {method_named(other).title}",
        round(100 * pair.difference, 1),
        f"points, 95 % {100 * pair.low:+.0f} to {100 * pair.high:+.0f}, "
        f"{pair.only_first} against {pair.only_second} of {pair.trials}, p {pair.p_value:.2g}",
    )
