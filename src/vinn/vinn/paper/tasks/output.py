"""What `vinn eval tasks` writes: results, a table of tasks and rows, and what set rows apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vinn.evaluation.results import Results
from vinn.evaluation.statistics import PairedDifference, SuccessRate, paired_difference
from vinn.paper.methods import PolicyForm, method_named
from vinn.paper.tasks.config import TaskTablesConfig
from vinn.paper.tasks.run import Outcomes, TaskOutcome

Trials = Sequence[TaskOutcome]
Refusals = dict[tuple[str, str], str]
"""Task and method to why there is no such policy."""


def task_results(
    name: str, config: TaskTablesConfig, outcomes: Outcomes, refusals: Refusals, command: str
) -> Results:
    """Rates, tested differences, means and goals, as far as they were measured.

    Args:
        name: of the results' files.
        config: tasks, rows and goals.
        outcomes: of the trials.
        refusals: of rows without a policy.
        command: to measure them again.
    """
    results = Results(name, command, of_kept=True)
    for task in config.tasks:
        for method in config.methods:
            row = f"{task}: {method_named(method).title}"
            if (task, method) in outcomes:
                _add_rate(results, row, outcomes[task, method])
            elif (task, method) in refusals:
                results.add(row, "no policy", refusals[task, method])
        for first, second in config.compare:
            if {(task, first), (task, second)} <= outcomes.keys():
                pair = _paired(outcomes[task, first], outcomes[task, second])
                _add_difference(results, f"{task}: {_minus(first, second)}", pair)
    for method in config.methods:
        for what, tasks in _groups(config):
            if mean := _mean(outcomes, tasks, method):
                results.add(f"{what}: {method_named(method).title}", round(mean, 1), "% done, mean")
    for what, tasks in _groups(config):
        for first, second in config.compare:
            over = _over(outcomes, tasks, first, second)
            if over is not None:
                _add_difference(results, f"{what}: {_minus(first, second)}", over)
    _add_goals(results, config, outcomes)
    missing = [
        f"{task}: {method}"
        for task in config.tasks
        for method in config.methods
        if (task, method) not in outcomes and (task, method) not in refusals
    ]
    if missing:
        results.add("not measured yet", ", ".join(missing))
    return results


def best_retrieval(config: TaskTablesConfig, outcomes: Outcomes) -> str | None:
    """The row of nearest neighbours with the highest mean over the goal's tasks; None: none yet."""
    tasks = config.goal_tasks or tuple(config.tasks)
    means = {
        method: _mean(outcomes, tasks, method)
        for method in config.methods
        if method_named(method).form is PolicyForm.NEAREST
    }
    known = {method: mean for method, mean in means.items() if mean is not None}
    return max(known, key=lambda method: known[method]) if known else None


def table_markdown(
    config: TaskTablesConfig, outcomes: Outcomes, refusals: Refusals, caption: str, command: str
) -> str:
    """The table of all tasks and rows, beside what others published, and how trials ended."""
    titles = [method_named(method).title for method in config.methods]
    beside = [f"{each.title} (published)" for each in config.published]
    each = config.trials * len(config.seeds)
    lines = [
        f"# {config.title}: every row on every task, in closed loop",
        "",
        f"{config.demonstrations} demonstrations a task, {config.trials} trials for each of "
        f"{len(config.seeds)} seeds ({each} in a cell); a seed decides demonstrations, training "
        f"and trials, which are the same for every row. {caption} Cells are done trials with "
        "Wilson's 95 % interval.",
        "",
        f"    {command}",
        "",
        "| task | " + " | ".join([*titles, *beside]) + " |",
        "|---|" + "---:|" * (len(titles) + len(beside)),
    ]
    for task in config.tasks:
        cells = [_cell(outcomes, refusals, task, method) for method in config.methods]
        cells += [_percent(each.percent.get(task)) for each in config.published]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    for what, tasks in _groups(config):
        cells = [_percent(_mean(outcomes, tasks, method)) for method in config.methods]
        for published in config.published:
            known = [published.percent[t] for t in tasks if t in published.percent]
            cells.append(_percent(sum(known) / len(tasks) if len(known) == len(tasks) else None))
        lines.append(f"| *{what}* | " + " | ".join(cells) + " |")
    lines.append("")
    for published in config.published:
        lines += [f"{published.title}: {published.source}. {published.differs}", ""]
    if not config.published:
        lines += ["No published figures stand beside these: none were read at their source.", ""]
    lines += [
        "## How the trials that failed ended",
        "",
        "| task | row | ended by |",
        "|---|---|---|",
    ]
    for (task, method), trials in outcomes.items():
        ends = Counter(trial.reason for trial in trials if not trial.success)
        if ends:
            said = ", ".join(f"{reason} {count}" for reason, count in ends.most_common())
            lines.append(f"| {task} | {method_named(method).title} | {said} |")
    return "\n".join(lines) + "\n"


def _add_rate(results: Results, name: str, trials: Trials) -> None:
    rate = SuccessRate.of(trial.success for trial in trials)
    first = SuccessRate.of(trial.first_attempt for trial in trials)
    commits = dict.fromkeys(trial.commit for trial in trials)
    results.add(
        name,
        round(100 * rate.successes / rate.trials, 1),
        f"% done, 95 % {100 * rate.low:.0f} to {100 * rate.high:.0f}, n {rate.trials}; at the "
        f"first attempt {first.share}",
        commit="" if "" in commits else ", ".join(commits),
    )


def _add_difference(results: Results, name: str, pair: PairedDifference) -> None:
    results.add(
        name,
        round(100 * pair.difference, 1),
        f"points, 95 % {100 * pair.low:+.0f} to {100 * pair.high:+.0f}, "
        f"{pair.only_first} against {pair.only_second} of {pair.trials}, p {pair.p_value:.2g}",
    )


def _add_goals(results: Results, config: TaskTablesConfig, outcomes: Outcomes) -> None:
    best = best_retrieval(config, outcomes)
    if best is None:
        return
    title, mean = method_named(best).title, _mean(outcomes, config.goal_tasks, best)
    if config.goal_mean is not None and mean is not None:
        name = f"goal: the best of nearest neighbours ({title}) where it should be strong"
        results.add(name, round(mean, 1), "% done, mean", f">= {config.goal_mean:g}")
    other = config.goal_ahead_of
    if other is None:
        return
    pair = _over(outcomes, config.goal_tasks, best, other)
    if pair is not None:
        name = f"goal: it is ahead of {method_named(other).title}, lower end of the interval"
        results.add(name, round(100 * pair.low, 1), "points", "> 0")


def _groups(config: TaskTablesConfig) -> list[tuple[str, tuple[str, ...]]]:
    """The goal's tasks and the others; all where there is no such division."""
    others = tuple(task for task in config.tasks if task not in config.goal_tasks)
    named = [("mean where strong", config.goal_tasks), ("mean where weak", others)]
    if not config.goal_tasks or not others:
        named = [("mean", tuple(config.tasks))]
    return [(what, tasks) for what, tasks in named if len(tasks) > 1]


def _mean(outcomes: Outcomes, tasks: Sequence[str], method: str) -> float | None:
    """Mean success over tasks in %; None where one was not measured."""
    if not tasks or any((task, method) not in outcomes for task in tasks):
        return None
    rates = [_rate(outcomes[task, method]) for task in tasks]
    return 100 * sum(rates) / len(rates)


def _rate(trials: Trials) -> float:
    return sum(trial.success for trial in trials) / len(trials)


def _over(
    outcomes: Outcomes, tasks: Sequence[str], first: str, second: str
) -> PairedDifference | None:
    """How two rows differ over all trials of some tasks; None where one was not measured."""
    if not tasks or any((task, row) not in outcomes for task in tasks for row in (first, second)):
        return None
    return _paired(
        [trial for task in tasks for trial in outcomes[task, first]],
        [trial for task in tasks for trial in outcomes[task, second]],
    )


def _paired(first: Trials, second: Trials) -> PairedDifference:
    return paired_difference([t.success for t in first], [t.success for t in second])


def _minus(first: str, second: str) -> str:
    return f"{method_named(first).title} minus {method_named(second).title}"


def _cell(outcomes: Outcomes, refusals: Refusals, task: str, method: str) -> str:
    if (task, method) in outcomes:
        return str(SuccessRate.of(trial.success for trial in outcomes[task, method]))
    return f"no policy: {refusals[task, method]}" if (task, method) in refusals else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"
