"""Doors that no demonstration shows: the preset `grasp-point` against the others, measured.

closed loop   seen, left-out, sampled and covered cabinets, the same trials for every row
views         the belief after one view from beside the demonstrated paths, on sampled cabinets
blind         a covered camera: the policy must halt and not close on nothing for ever
growth        sampled cabinets, with fewer demonstrations and with those of one cabinet
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError
from vinn.evaluation.results import Results
from vinn.evaluation.statistics import SuccessRate
from vinn.evaluation.trial_pool import TrialPool
from vinn.evaluation.trials import as_json, run_trial, trial_seed
from vinn.paper.closed_loop.config import ClosedLoopConfig, load_closed_loop_config
from vinn.paper.closed_loop.output import add_difference, add_rate, paired_trials
from vinn.paper.closed_loop.run import (
    LEFT_OUT,
    SAMPLED,
    SEEN,
    OnTrial,
    Outcomes,
    count_trials,
    read_outcomes,
    run_closed_loop,
    without_cabinet,
)
from vinn.paper.grasp.views import off_path_errors
from vinn.paper.methods import method_named
from vinn.paper.workspace import Workspace
from vinn.policies.artefact import load_policy
from vinn.policies.vinn import VinnPolicy
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import difficulty_named
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld
from vinn.tasks.data import TaskData, first_demonstrations

ROW = "grasp-point"
PRESETS = ("grasp-point", "grasp-point-covered")
PARTS = ("closed-loop", "views", "blind", "growth")
VIEWS_PER_CABINET = 30
BLIND_TRIALS = 10
GROWTH = (5, 10, 20, 40)
"""Numbers of demonstrations beside all of them."""
GROWTH_TRIALS = 2
GOALS = {
    # Condition: least opened, and at the first attempt [%].
    SEEN: (95, 90),
    LEFT_OUT: (90, 85),
    SAMPLED: (95, 90),
}
VIEW_GOALS_MM = {"sideways": 7.0, "vertically": 7.0, "in depth": 15.0}


class CoveredCamera(DoorWorld):
    """A world whose wrist camera is covered: grey, with the sensor's noise."""

    def wrist_image(self) -> NDArray[np.uint8]:
        """See `DoorWorld.wrist_image`."""
        seen = super().wrist_image()
        noise = np.random.default_rng([self.seed, round(self.time_s * 1000)])
        return np.clip(110 + noise.normal(0, 4, seen.shape), 0, 255).astype(np.uint8)


def run_grasp_point(
    parts: tuple[str, ...],
    data: TaskData,
    workspace: Workspace,
    on_trial: OnTrial | None = None,
    pool: TrialPool | None = None,
) -> None:
    """Do what was not done yet of some of `PARTS`.

    Args:
        parts: which.
        data: the task `door`, metric actions.
        workspace: trains and finds the policies.
        on_trial: told of progress.
        pool: does the trials; None: this process.

    Raises:
        ConfigError: an unknown part; the known ones are listed.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ConfigError(f"part '{unknown[0]}' is unknown; known: {', '.join(PARTS)}")
    if "closed-loop" in parts:
        for name in PRESETS:
            run_closed_loop(load_closed_loop_config(name), data, workspace, on_trial, pool)
    if "views" in parts:
        workspace.unit(
            workspace.task_dir(data),
            "grasp-point-views",
            lambda: {"errors_m": _views(workspace, data, on_trial).tolist()},
        )
    if "blind" in parts:
        workspace.unit(
            workspace.task_dir(data),
            "grasp-point-blind",
            lambda: {"trials": _blind(workspace, data, on_trial)},
        )
    if "growth" in parts:
        for part in growth_parts(data):
            run_closed_loop(growth_config(), part, workspace, on_trial, pool)


def growth_config() -> ClosedLoopConfig:
    """Sampled cabinets, a few trials each."""
    return load_closed_loop_config(PRESETS[0]).model_copy(
        update={
            "methods": (),
            "general_methods": (ROW,),
            "left_out": False,
            "sampled_trials": GROWTH_TRIALS,
        }
    )


def growth_parts(data: TaskData) -> list[TaskData]:
    """The task with fewer demonstrations, with all of them, and with those of one cabinet."""
    parts = [
        replace(data, name=f"{data.name}-first-{n}", train=first_demonstrations(data.train, n, 0))
        for n in GROWTH
        if n < len(data.train)
    ]
    only = without_cabinet(without_cabinet(data, "walnut"), "white")
    return [*parts, data, replace(only, name=f"{data.name}-only-oak")]


def grasp_point_results(data: TaskData, workspace: Workspace, command: str) -> Results:
    """Every figure, as far as it was measured."""
    results = Results("grasp_point", command, of_kept=True)
    done = total = 0
    for name in PRESETS:
        config = load_closed_loop_config(name)
        outcomes = read_outcomes(config, data, workspace)
        for (condition, method), trials in outcomes.items():
            add_rate(results, f"{condition}: {method_named(method).title}", trials)
        for condition in dict.fromkeys(condition for condition, _ in outcomes):
            _add_goals(results, condition, outcomes)
            for first, second in config.compare:
                pair = paired_trials(
                    outcomes.get((condition, first)), outcomes.get((condition, second))
                )
                if pair is not None:
                    add_difference(results, condition, first, second, pair)
        counts = count_trials(config, data, workspace)
        done, total = done + counts[0], total + counts[1]
    _add_views(results, data, workspace)
    _add_blind(results, data, workspace)
    for part in growth_parts(data):
        grown = read_outcomes(growth_config(), part, workspace).get((SAMPLED, ROW))
        if grown is not None:
            add_rate(results, f"growth, {len(part.train)} demonstrations ({part.name})", grown)
    results.add("trials done", done, f"of {total}; rows without all of theirs are left out")
    return results


def _policy(workspace: Workspace, data: TaskData) -> VinnPolicy:
    policy = load_policy(workspace.policy(method_named(ROW), data, 0))
    if not isinstance(policy, VinnPolicy):
        raise ConfigError(f"method {ROW}: is not a nearest-neighbour policy")
    return policy


def _views(workspace: Workspace, data: TaskData, on_trial: OnTrial | None) -> NDArray[np.float64]:
    cabinets = [f"sampled-{seed}" for seed in load_closed_loop_config(PRESETS[0]).sampled]
    return off_path_errors(
        _policy(workspace, data),
        cabinets,
        VIEWS_PER_CABINET,
        seed=0,
        on_progress=None if on_trial is None else lambda n, of: on_trial(n, of, "views"),
    )


def _blind(
    workspace: Workspace, data: TaskData, on_trial: OnTrial | None
) -> list[dict[str, object]]:
    policy = _policy(workspace, data)
    found = []
    for number, name in enumerate(sorted(CABINETS)):
        scene = SceneConfig(cabinet=CABINETS[name], difficulty=difficulty_named("hard"))
        with CoveredCamera(scene) as world:
            for trial in range(BLIND_TRIALS):
                world.reset(trial_seed(0, number, trial))
                found.append(as_json(run_trial(policy, world, trial)))
                if on_trial is not None:
                    on_trial(len(found), BLIND_TRIALS * len(CABINETS), "camera covered")
    return found


def _add_goals(results: Results, condition: str, outcomes: Outcomes) -> None:
    trials = outcomes.get((condition, ROW))
    if trials is None or condition not in GOALS:
        return
    counted = [trial.first_attempt for trial in trials]
    for what, opened, goal in (
        ("opened", [trial.opened for trial in trials], GOALS[condition][0]),
        ("opened at the first attempt", [bool(first) for first in counted], GOALS[condition][1]),
    ):
        rate = SuccessRate.of(opened)
        results.add(
            f"goal: {condition}, {what}",
            round(100 * rate.successes / rate.trials, 1),
            f"%, 95 % {100 * rate.low:.0f} to {100 * rate.high:.0f}, n {rate.trials}",
            goal=f">= {goal}",
        )


def _add_views(results: Results, data: TaskData, workspace: Workspace) -> None:
    found = workspace.measured_unit(workspace.task_dir(data), "grasp-point-views")
    if found is None:
        return
    errors_mm = 1000 * np.abs(np.array(found["errors_m"]))
    for axis, (name, goal) in enumerate(VIEW_GOALS_MM.items()):
        low, middle, high = np.quantile(errors_mm[:, axis], (0.25, 0.5, 0.75))
        results.add(
            f"one view off the path, median error {name}",
            round(float(middle), 1),
            f"mm; quartiles {low:.1f} and {high:.1f}, {len(errors_mm)} views",
            goal=f"<= {goal:g}",
        )


def _add_blind(results: Results, data: TaskData, workspace: Workspace) -> None:
    found = workspace.measured_unit(workspace.task_dir(data), "grasp-point-blind")
    if found is None:
        return
    trials = found["trials"]
    reasons = sorted({trial["reason"] for trial in trials})
    counts = ", ".join(f"{r} {sum(t['reason'] == r for t in trials)}" for r in reasons)
    halted = sum(t["reason"] in ("NOVEL", "NO_GRASP_POINT", "NO_GRASP") for t in trials)
    results.add(
        "camera covered: halted as novel or without a grasp point",
        halted,
        f"of {len(trials)} trials: {counts}; closings {sum(t['attempts'] for t in trials)}",
        goal=f">= {len(trials)}",
    )
