"""The figures of `vinn eval beyond`."""

from __future__ import annotations

from vinn.evaluation.results import Results
from vinn.evaluation.statistics import SuccessRate
from vinn.paper.ablations.run import BeyondConfig, offline_unit
from vinn.paper.closed_loop.output import Trials, add_difference, add_rate, paired_trials
from vinn.paper.closed_loop.run import (
    LEFT_OUT,
    SAMPLED,
    Outcomes,
    count_trials,
    read_outcomes,
)
from vinn.paper.methods import BEYOND, method_named
from vinn.paper.workspace import Workspace
from vinn.tasks.data import TaskData

PLUS = "vinn-plus"
PAPER = ("imagenet", "vinn")
"""The paper's policy on the encoder of `vinn-plus`, and on one that BYOL trained."""
REFERENCES = ("imagenet", PLUS)
"""What a switch is compared with: the same encoder with the paper's policy, and all switches."""
HELD_OUT = (LEFT_OUT, SAMPLED)
LEAST_OPENED = 60
"""Goal on held-out cabinets, in % of the trials."""


def beyond_results(
    config: BeyondConfig, data: TaskData, workspace: Workspace, command: str
) -> Results:
    """Every rate, every paired difference and the goals, as far as they were measured."""
    results = Results("beyond", command, of_kept=True)
    main = read_outcomes(config.main, data, workspace)
    for (condition, name), trials in main.items():
        add_rate(results, f"{condition}: {method_named(name).title}", trials)
    for first, second in config.main.compare:
        for condition in dict.fromkeys(condition for condition, _ in main):
            pair = paired_trials(main.get((condition, first)), main.get((condition, second)))
            if pair is not None:
                add_difference(results, condition, first, second, pair)
    _add_goals(results, main)
    switches = read_outcomes(config.switches, data, workspace)
    for (condition, name), trials in switches.items():
        add_rate(results, f"switch, {condition}: {method_named(name).title}", trials)
        for other in REFERENCES:
            reference = main.get((condition, other))
            if reference is not None:
                pair = paired_trials(trials, _same_trials(reference, trials))
                if pair is not None:
                    add_difference(results, f"switch, {condition}", name, other, pair)
    for name in config.offline:
        found = offline_unit(workspace, BEYOND[name], data, only_measured=True)
        if found is None:
            continue
        translation, gripper = (
            sum(found[part].values()) / len(found[part]) for part in ("translation", "gripper")
        )
        results.add(
            f"offline, left-out cabinets: {method_named(name).title}",
            round(translation + gripper, 4),
            f"relative MSE, translation {translation:.3f} + gripper {gripper:.3f}; 2 is the mean",
        )
    counts = [count_trials(part, data, workspace) for part in (config.main, config.switches)]
    done, total = (sum(numbers) for numbers in zip(*counts, strict=True))
    results.add("trials done", done, f"of {total}; rows without all of theirs are left out")
    return results


def _add_goals(results: Results, main: Outcomes) -> None:
    """All held-out cabinets together, left-out and freshly sampled, as far as measured."""
    plus = _held_out(main, PLUS, PLUS)
    if not plus:
        return
    rate = SuccessRate.of(trial.opened for trial in plus)
    results.add(
        "goal: VINN-plus on held-out cabinets",
        round(100 * rate.successes / rate.trials, 1),
        f"% opened, 95 % {100 * rate.low:.0f} to {100 * rate.high:.0f}, n {rate.trials}",
        goal=f">= {LEAST_OPENED}",
    )
    for paper in PAPER:
        pair = paired_trials(_held_out(main, PLUS, paper), _held_out(main, paper, PLUS))
        if pair is not None:
            title = method_named(paper).title
            results.add(
                f"goal: lower end of VINN-plus minus {title} on held-out cabinets",
                round(100 * pair.low, 1),
                f"points; difference {100 * pair.difference:+.0f}, 95 % {100 * pair.low:+.0f} to "
                f"{100 * pair.high:+.0f}, n {pair.trials}, p {pair.p_value:.2g}",
                goal="> 0",
            )


def _held_out(main: Outcomes, name: str, other: str) -> Trials:
    """A row's trials on held-out cabinets, in the conditions that the other row was in too."""
    both = [c for c in HELD_OUT if (c, name) in main and (c, other) in main]
    return tuple(trial for condition in both for trial in main[condition, name])


def _same_trials(reference: Trials, trials: Trials) -> Trials:
    """Those of the reference's trials that the others did too, in their order."""
    known = {(trial.cabinet, trial.seed): trial for trial in reference}
    found = (known.get((trial.cabinet, trial.seed)) for trial in trials)
    return tuple(trial for trial in found if trial is not None)
