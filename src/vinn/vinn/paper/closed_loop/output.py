"""What `vinn eval closed-loop-tables` writes: results, tables I and II, and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_file
from vinn.demos.frames import encode_jpeg
from vinn.evaluation.results import Results
from vinn.evaluation.statistics import (
    PairedDifference,
    SuccessRate,
    paired_difference,
    said_at_first,
    share_at_first,
)
from vinn.evaluation.trials import Failure, trial_seed
from vinn.paper.closed_loop.config import ClosedLoopConfig
from vinn.paper.closed_loop.run import (
    LEFT_OUT,
    SAMPLED,
    SEEN,
    Outcome,
    Outcomes,
    cells,
    mean_opened,
)
from vinn.paper.methods import ALL_METHODS, METHODS, method_named
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import difficulty_named
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.world import DoorWorld
from vinn.viz.output import write_text
from vinn.viz.plots import scatter

TITLES = {
    SEEN: "cabinets of the demonstrations, unmodified",
    LEFT_OUT: "cabinet without demonstrations",
    SAMPLED: "freshly sampled cabinets",
    Occlusion.SIGNS_HANDLE.value: "covered sign and handle",
    Occlusion.SIGNS_HANDLE_ONE_BIN.value: "covered sign, handle and one bin",
    Occlusion.SIGNS_HANDLE_BOTH_BINS.value: "covered sign, handle and both bins",
}
PAPER_TABLE1 = {"bc": (0.0, 0.0), "bc-rep": (56.7, 53.3), "imagenet": (20.0, 0.0), "vinn": (80, 80)}
"""Handle grasped and door opened in % of 30 trials (paper, table I)."""
PAPER_TABLE2 = {
    SEEN: {"bc-rep": 90, "vinn": 80},
    Occlusion.SIGNS_HANDLE.value: {"bc-rep": 10, "vinn": 70},
    Occlusion.SIGNS_HANDLE_ONE_BIN.value: {"bc-rep": 0, "vinn": 50},
    Occlusion.SIGNS_HANDLE_BOTH_BINS.value: {"bc-rep": 0, "vinn": 0},
}
"""Success in % of 10 trials on one cabinet (paper, table II)."""
MOST_OPEN_LOOP = {"easy": 20, "hard": 20, "paper": 50}
LEAST_BEST, MOST_BEST, VINN_GOAL = 60, 95, 80
"""Goals in % of the trials on seen cabinets."""
FRAME_PX = 160

Trials = tuple[Outcome, ...]


def add_rate(results: Results, name: str, trials: Trials) -> None:
    """A row with the rate of opened doors, at once and with retries."""
    rate = SuccessRate.of(trial.opened for trial in trials)
    results.add(
        name,
        round(100 * rate.successes / rate.trials, 1),
        f"% opened, 95 % {100 * rate.low:.0f} to {100 * rate.high:.0f}, n {rate.trials}; "
        f"{said_at_first(t.first_attempt for t in trials)}"
        f"grasped {sum(t.grasped for t in trials)}, fully opened "
        f"{sum(t.fully_opened for t in trials)}",
        commit=commits_of(trials),
    )


def commits_of(trials: Trials) -> str:
    """The commits that did some trials, one after the other; empty where one is not known."""
    found = dict.fromkeys(trial.commit for trial in trials)
    return "" if "" in found else ", ".join(found)


def add_difference(
    results: Results, condition: str, first: str, second: str, pair: PairedDifference
) -> None:
    """A row with how two methods differ in the same trials."""
    results.add(
        f"{condition}: {method_named(first).title} minus {method_named(second).title}",
        round(100 * pair.difference, 1),
        f"points, 95 % {100 * pair.low:+.0f} to {100 * pair.high:+.0f}, "
        f"{pair.only_first} against {pair.only_second} of {pair.trials}, p {pair.p_value:.2g}",
    )


def paired_trials(first: Trials | None, second: Trials | None) -> PairedDifference | None:
    """How two methods differ in the same trials; None where one has not done them."""
    if not first or not second or len(first) != len(second):
        return None
    return paired_difference([t.opened for t in first], [t.opened for t in second])


def results_name(config: ClosedLoopConfig) -> str:
    """Of the results' files; each difficulty has its own."""
    return "closed_loop" if config.difficulty == "hard" else f"closed_loop_{config.difficulty}"


def closed_loop_results(
    config: ClosedLoopConfig, outcomes: Outcomes, offline: Mapping[str, float], command: str
) -> Results:
    """Every cell, every tested difference, and the goals.

    Args:
        config: names the pairs to compare.
        outcomes: by condition and method.
        offline: method to test error, where it was measured.
        command: to measure them again.
    """
    results = Results(results_name(config), command, of_kept=True)
    for (condition, method), trials in outcomes.items():
        add_rate(results, f"{condition}: {method_named(method).title}", trials)
    for condition in dict.fromkeys(condition for condition, _ in outcomes):
        for first, second in config.compare:
            if (condition, first) in outcomes and (condition, second) in outcomes:
                found = compare(outcomes[condition, first], outcomes[condition, second])
                results.add(
                    f"{condition}: {method_named(first).title} minus {method_named(second).title}",
                    round(100 * found.difference, 1),
                    f"points, 95 % {100 * found.low:+.0f} to {100 * found.high:+.0f}, "
                    f"McNemar p {found.p_value:.2g}, n {found.trials}",
                )
    _add_goals(results, config, outcomes)
    missing = _missing(config, outcomes)
    if missing:
        results.add("not measured yet", missing)
    for method, error in offline.items():
        what = f"offline: {method_named(method).title}"
        results.add(what, round(10 * error, 3), "MSE x 10^-1 on test demonstrations")
    rank = _rank_correlation(outcomes, offline)
    if rank is not None:
        results.add(
            "rank correlation of offline error and opened doors", round(rank, 3), "Spearman"
        )
    return results


def compare(first: Sequence[Outcome], second: Sequence[Outcome]) -> PairedDifference:
    """The tested difference of two methods' opened doors over the same trials."""
    return paired_difference([t.opened for t in first], [t.opened for t in second])


def tables_markdown(
    config: ClosedLoopConfig, outcomes: Outcomes, caption: str, command: str
) -> str:
    """Tables I and II beside the paper's figures, cabinets apart, and how trials failed."""
    lines = [
        "# Closed loop: tables I and II in simulation",
        "",
        f"Difficulty `{config.difficulty}`, {config.trials} trials on each of {len(CABINETS)} "
        f"cabinets ({config.general_trials or config.trials} where something is covered or left "
        "out), the same seeds for every method; actions of length 1 are "
        f"{100 * config.scale_m:g} cm. "
        f"{caption} Cells are opened doors (30 degrees) with Wilson's 95 % interval; at the first "
        "attempt are those for which the gripper closed once. The paper's "
        "figures are of a real robot and other training: orders may be compared, numbers may not.",
        *_if_missing(config, outcomes),
        "",
        f"    {command}",
        "",
        "## Table I",
        "",
        "| Method | grasped | opened | at the first attempt | fully opened | "
        + " | ".join(sorted(CABINETS))
        + " | paper: grasped | paper: opened |",
        "|---|" + "---:|" * (6 + len(CABINETS)),
    ]
    seen = {method: t for (condition, method), t in outcomes.items() if condition == SEEN}
    for method, trials in seen.items():
        row_cells = [
            f"{sum(t.grasped for t in trials)}/{len(trials)}",
            str(SuccessRate.of(t.opened for t in trials)),
            share_at_first(t.first_attempt for t in trials),
            f"{sum(t.fully_opened for t in trials)}/{len(trials)}",
            *(_of_cabinet(trials, cabinet) for cabinet in sorted(CABINETS)),
            *(f"{v:g} %" for v in PAPER_TABLE1.get(method, ())),
        ]
        row_cells += [""] * (6 + len(CABINETS) - len(row_cells))
        lines.append(f"| {method_named(method).title} | " + " | ".join(row_cells) + " |")
    lines += ["", "## Table II and beyond", ""]
    general = [m for m in ALL_METHODS if any(m == method and c != SEEN for c, method in outcomes)]
    lines += [
        "| | " + " | ".join(method_named(m).title for m in general) + " |",
        "|---|" + "---:|" * len(general),
    ]
    conditions = [c for c in TITLES if any(condition == c for condition, _ in outcomes)]
    for condition in conditions:
        row = [_general_cell(outcomes, condition, method) for method in general]
        lines.append(f"| {TITLES[condition]} | " + " | ".join(row) + " |")
    lines += [
        "",
        "Opened; first: at the first attempt; last: the paper's figure (one cabinet).",
        "",
    ]
    lines += _differences(config, outcomes)
    lines += _failures(outcomes)
    return "\n".join(lines) + "\n"


def write_outputs(
    config: ClosedLoopConfig,
    results: Results,
    markdown: str,
    outcomes: Outcomes,
    offline: Mapping[str, float],
    out_dir: Path,
) -> None:
    """Write the results, their twin and beside them tables and figures, of the same name."""
    results.write(out_dir)
    name = results_name(config)
    write_text(out_dir / f"{name}_tables.md", markdown)
    points = {
        method_named(method).title: (error, mean_opened(outcomes[SEEN, method]))
        for method, error in offline.items()
        if (SEEN, method) in outcomes
    }
    if points:
        svg = scatter(points, "test MSE of predicted actions", "opened doors")
        write_text(out_dir / f"{name}_error.svg", svg)
    picture = occlusion_figure(config.difficulty)
    with atomic_file(out_dir / f"{name}_occlusions.jpg") as file:
        file.write(picture)


def occlusion_figure(
    difficulty: str, seed: int = 0, cabinets: Sequence[str] = tuple(sorted(CABINETS))
) -> bytes:
    """What the wrist camera and an onlooker see at each level of covering (paper, figure 5), JPEG.

    One row per cabinet; the seed is that of the first trial of each cell.
    """
    rows = []
    for scene, cabinet in enumerate(cabinets):
        frames: list[NDArray[np.uint8]] = []
        for occlusion in Occlusion:
            config = SceneConfig(
                cabinet=CABINETS[cabinet],
                difficulty=difficulty_named(difficulty),
                occlusion=occlusion,
            )
            with DoorWorld(config) as world:
                world.reset(trial_seed(seed, scene, 0))
                overview = world.overview_image(FRAME_PX * 4 // 3, FRAME_PX)
                wrist = cv2.resize(world.wrist_image(), (FRAME_PX, FRAME_PX))
                frames += [np.asarray(wrist, np.uint8), overview]
        rows.append(np.hstack(frames))
    return encode_jpeg(np.vstack(rows), 88)


def _add_goals(results: Results, config: ClosedLoopConfig, outcomes: Outcomes) -> None:
    seen = {m: 100 * mean_opened(t) for (c, m), t in outcomes.items() if c == SEEN}
    if not seen:
        return
    best = max(seen, key=lambda method: seen[method])
    title = method_named(best).title
    if "open-loop" in seen:
        goal = f"<= {MOST_OPEN_LOOP[config.difficulty]}"
        results.add("goal: open loop fails", round(seen["open-loop"], 1), "% opened", goal)
    value = round(seen[best], 1)
    results.add(f"goal: best method ({title}) can", value, "% opened", f">= {LEAST_BEST}")
    results.add(f"goal: best method ({title}) is not at the top", value, "", f"<= {MOST_BEST}")
    if "raw-pixels" in seen and best != "raw-pixels":
        low = compare(outcomes[SEEN, best], outcomes[SEEN, "raw-pixels"]).low
        name = f"goal: {title} ahead of raw pixels, lower end"
        results.add(name, round(100 * low, 1), "points", "> 0")
    if "vinn" in seen:
        results.add(
            "goal: VINN on seen cabinets", round(seen["vinn"], 1), "% opened", f">= {VINN_GOAL}"
        )
        for other in ("bc", "bc-rep"):
            if other in seen:
                found = compare(outcomes[SEEN, "vinn"], outcomes[SEEN, other])
                name = f"goal: VINN ahead of {METHODS[other].title}"
                results.add(name, round(100 * found.difference, 1), "points", "> 0")


def _of_cabinet(trials: Sequence[Outcome], cabinet: str) -> str:
    own = [trial.opened for trial in trials if trial.cabinet == cabinet]
    return f"{sum(own)}/{len(own)}"


def _general_cell(outcomes: Outcomes, condition: str, method: str) -> str:
    if (condition, method) not in outcomes:
        return ""
    trials = outcomes[condition, method]
    cell = str(SuccessRate.of(trial.opened for trial in trials))
    if condition != SAMPLED:
        cell += " (" + ", ".join(_of_cabinet(trials, name) for name in sorted(CABINETS)) + ")"
    if SuccessRate.at_first(trial.first_attempt for trial in trials) is not None:
        cell += f", first {share_at_first(trial.first_attempt for trial in trials)}"
    paper = PAPER_TABLE2.get(condition, {}).get(method)
    return cell if paper is None else f"{cell} [{paper:g} %]"


def _differences(config: ClosedLoopConfig, outcomes: Outcomes) -> list[str]:
    titles = [f"{method_named(a).title} - {method_named(b).title}" for a, b in config.compare]
    lines = [
        "## Paired differences",
        "",
        "Opened doors of the first minus the second over the same trials: bootstrap 95 % interval "
        "in points, McNemar's exact p.",
        "",
        "| | " + " | ".join(titles) + " |",
        "|---|" + "---:|" * len(config.compare),
    ]  # fmt: skip
    for condition in dict.fromkeys(condition for condition, _ in outcomes):
        row = [
            str(compare(outcomes[condition, a], outcomes[condition, b]))
            if (condition, a) in outcomes and (condition, b) in outcomes
            else ""
            for a, b in config.compare
        ]
        if any(row):
            lines.append(f"| {TITLES[condition]} | " + " | ".join(row) + " |")
    return [*lines, ""]


def _failures(outcomes: Outcomes) -> list[str]:
    kinds = [failure for failure in Failure if failure is not Failure.NONE]
    lines = [
        "## How trials failed",
        "",
        "| | method | " + " | ".join(kind.value.replace("_", " ") for kind in kinds) + " |",
        "|---|---|" + "---:|" * len(kinds),
    ]
    for (condition, method), trials in outcomes.items():
        counts = Counter(trial.failure for trial in trials)
        row = " | ".join(str(counts[kind] or "") for kind in kinds)
        lines.append(f"| {TITLES[condition]} | {method_named(method).title} | {row} |")
    return lines


def _missing(config: ClosedLoopConfig, outcomes: Outcomes) -> str:
    """The cells of the preset without all their trials, one condition after the other."""
    wanted: dict[str, dict[str, None]] = {}
    for cell in cells(config):
        if (cell.condition, cell.method) not in outcomes:
            wanted.setdefault(cell.condition, {})[method_named(cell.method).title] = None
    return "; ".join(f"{condition}: {', '.join(titles)}" for condition, titles in wanted.items())


def _if_missing(config: ClosedLoopConfig, outcomes: Outcomes) -> list[str]:
    missing = _missing(config, outcomes)
    return ["", f"Not measured yet: {missing}."] if missing else []


def _rank_correlation(outcomes: Outcomes, offline: Mapping[str, float]) -> float | None:
    """Spearman's, of error and success over methods; None for fewer than four."""
    names = [method for method in offline if (SEEN, method) in outcomes]
    if len(names) < 4:
        return None
    errors = _ranks([offline[name] for name in names])
    success = _ranks([mean_opened(outcomes[SEEN, name]) for name in names])
    if errors.std() == 0 or success.std() == 0:
        return None
    return float(np.corrcoef(errors, success)[0, 1])


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Ranks from 0; equal values share their mean rank."""
    array = np.asarray(values)
    return np.array([((array < v).sum() + (array <= v).sum() - 1) / 2 for v in array], np.float64)
