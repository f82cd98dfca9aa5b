"""The rows of docs/results/network.*, made of the trials that were kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from vinn.evaluation.results import Results
from vinn.evaluation.statistics import wilson_interval

from measure.network.trials import Trial


def add(results: Results, name: str, trials: Sequence[Trial]) -> None:
    """The rows of one cell; a rollout that did not start opened no door."""
    opened, count = sum(trial.opened for trial in trials), len(trials)
    commit = ", ".join(sorted({trial.commit for trial in trials}))
    low, high = wilson_interval(opened, count)
    results.add(
        f"{name}: doors opened",
        opened,
        f"of {count} (95 % {low:.0%} to {high:.0%})",
        commit=commit,
    )
    ages_s = [age_s for trial in trials for age_s in trial.seen.ages_s]
    if ages_s:
        median_s, late_s = np.percentile(ages_s, [50, 99])
        for label, value_s in (("median", median_s), ("p99", late_s)):
            results.add(
                f"{name}: camera to command, {label}", round(1e3 * value_s, 1), "ms", commit=commit
            )
    stale = sum(trial.seen.stale for trial in trials)
    unit = f"of {len(ages_s)} motions"
    results.add(f"{name}: motions on a stale image", stale, unit, goal="== 0", commit=commit)
    never = Counter(trial.reason for trial in trials if not trial.started)
    untried = sum(not trial.tried for trial in trials)
    also = f"; {untried} of them not tried after the others" if untried else ""
    results.add(f"{name}: could not start", never.total(), _named(never) + also, commit=commit)
    late = sum((Counter(t.refusals) for t in trials if t.started), Counter[str]())
    results.add(f"{name}: starts refused at first", late.total(), _named(late), commit=commit)
    halts = Counter(trial.reason for trial in trials if trial.started and not trial.opened)
    results.add(f"{name}: halts", halts.total(), _named(halts), commit=commit)
    recovered = sum(trial.recovered is True for trial in trials)
    results.add(
        f"{name}: resets that worked after one", recovered, f"of {halts.total()}", commit=commit
    )
    frames, heard = (sum(getattr(t.seen, what) for t in trials) for what in ("frames", "heard"))
    lost = 100 * (1 - heard / frames) if frames else 0.0
    results.add(
        f"{name}: frames dropped before the supervisor",
        round(lost, 1),
        f"% of {frames}",
        commit=commit,
    )


def _named(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())) or "none"
