"""What `vinn eval tables` writes: results files, the table beside the paper's, and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from vinn.demos.files import atomic_file
from vinn.demos.frames import encode_jpeg, read_frame
from vinn.evaluation.results import Results
from vinn.paper.methods import METHODS, PAPER_TABLE3
from vinn.paper.offline.config import TablesConfig
from vinn.paper.offline.tables import Measurements, mean_and_deviation
from vinn.policies.artefact import open_artefact
from vinn.tasks.data import TaskData
from vinn.tasks.registry import TASKS
from vinn.viz.mosaic import neighbor_mosaic
from vinn.viz.output import write_text
from vinn.viz.plots import lines

TIMES = 10.0
"""Errors are given x 10^-1, as in the paper."""
FIGURE3_SCALE = 0.8
"""Of the neighbours' mosaic as it is drawn; the text stays readable."""
BEATS = 0.9
"""A method beats a control where its error is at most this share of the control's."""


def table_results(
    config: TablesConfig, found: Measurements, command: str, checks: Sequence[tuple[str, str]] = ()
) -> Results:
    """Table III as figures: one per task and method, then one per check.

    Args:
        config: the caption says what was spent.
        found: measurements.
        command: to measure them again.
        checks: pairs (method, control) of which the first has to beat the second on every task.
    """
    results = Results("table3", command, of_kept=True)
    results.add("what was spent", config.caption)
    rows = len(config.methods) * len(found.table)
    measured = sum(len(methods) for methods in found.table.values())
    results.add("rows measured, over all tasks", measured, "", f"== {rows}")
    for task, methods in found.table.items():
        counts = found.demonstrations[task]
        results.add(
            f"{task}: demonstrations",
            f"{counts['train']} to learn from ({counts['train_frames']} frames), "
            f"{counts['test']} held out ({counts['test_frames']} frames)",
        )
        for name, errors in methods.items():
            mean, deviation = mean_and_deviation(errors)
            spread = "" if deviation is None else f", sd {TIMES * deviation:.2f}, n {len(errors)}"
            collapsed = _collapsed(found, task, name)
            results.add(
                f"{task}: {METHODS[name].title}",
                round(TIMES * mean, 3),
                f"MSE x 10^-1{spread}" + (f", {collapsed}" if collapsed else ""),
            )
    for task, methods in found.table.items():
        for method, control in checks:
            if method not in methods or control not in methods:
                continue
            ratio = float(np.mean(methods[method]) / np.mean(methods[control]))
            name = f"{task}: error of {METHODS[method].title} over {METHODS[control].title}"
            results.add(name, round(ratio, 3), "", f"<= {BEATS:g}")
    return results


def side_by_side(config: TablesConfig, found: Measurements) -> str:
    """Table III as Markdown, each cell with the paper's figure in brackets."""
    tasks = list(found.table)
    rows = [
        "# Table III: test error of predicted actions, MSE x 10^-1",
        "",
        f"{config.caption} Mean ± standard deviation over seeds (one seed where "
        "no ± stands); in brackets the paper's figure "
        "for its own data of the task that this one stands for: orders may be compared, numbers "
        "may not.",
        "",
        "| Method | " + " | ".join(_heading(task, found) for task in tasks) + " |",
        "|---|" + "---:|" * len(tasks),
    ]
    for name in config.methods:
        cells = []
        for task in tasks:
            if name not in found.table[task]:
                cells.append("not measured")
                continue
            mean, deviation = mean_and_deviation(found.table[task][name])
            cell = f"{TIMES * mean:.2f}"
            if deviation is not None:
                cell += f" ± {TIMES * deviation:.2f}"
            if collapsed := _collapsed(found, task, name):
                cell += f" ({collapsed})"
            stands_for = TASKS[task].paper_task if task in TASKS else None
            paper = PAPER_TABLE3[stands_for] if stands_for else {}
            cells.append(f"{cell} [{paper[name]:g}]" if name in paper else cell)
        rows.append(f"| {METHODS[name].title} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def figure4(found: Measurements, task: str) -> str:
    """Error against the number of demonstrations (paper, figure 4), as SVG."""
    series = {
        METHODS[name].title: (
            list(points),
            [TIMES * float(np.mean(errors)) for errors in points.values()],
        )
        for name, points in found.curves[task].items()
    }
    return lines(series, "demonstrations", "test MSE x 10^-1")


def figure6(found: Measurements) -> str:
    """Error against k on held-out demonstrations, relative to k = 1 (paper, figure 6), as SVG."""
    series = {
        task: (curve["k"], np.asarray(curve["test_mse"]) / curve["test_mse"][0])
        for task, curve in found.k_curves.items()
    }
    return lines(series, "k", "test MSE relative to k = 1")


def figure3(policy_dir: Path, data: TaskData, queries: int = 2) -> bytes:
    """Queries of held-out demonstrations with their neighbours, k = 1 above k = 10, as JPEG.

    The queries are spread over the held-out demonstrations, each in the middle of one.
    """
    artefact = open_artefact(policy_dir)
    most = min(10, len(artefact.memory))
    panels = []
    for index in np.linspace(0, len(data.test) - 1, queries).astype(int):
        paths = data.test.demonstrations[index].frame_paths
        query = read_frame(paths[len(paths) // 2])
        for k in (1, most):
            prediction = artefact.policy(k=k).predict(query)
            panels.append(neighbor_mosaic(query, prediction, artefact.thumbnail))
    stacked = np.concatenate(panels)
    height, width = stacked.shape[:2]
    size = (round(FIGURE3_SCALE * width), round(FIGURE3_SCALE * height))
    small = cv2.resize(stacked, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(small, np.uint8), 80)


def write_outputs(
    config: TablesConfig,
    found: Measurements,
    results: Results,
    neighbor_policies: dict[str, tuple[Path, TaskData]],
    out_dir: Path,
) -> None:
    """Write everything into a folder.

    Args:
        config: what was run.
        found: what was measured.
        results: made by `table_results`.
        neighbor_policies: task to a nearest-neighbour policy artefact and data, for figure 3.
        out_dir: made if needed; earlier outputs are replaced.
    """
    results.write(out_dir)
    write_text(out_dir / "table3-side-by-side.md", side_by_side(config, found))
    write_text(out_dir / "table3-details.json", json.dumps(asdict(found), indent=1) + "\n")
    for task, curves in found.curves.items():
        if curves:
            write_text(out_dir / f"figure4-{task}.svg", figure4(found, task))
    if found.k_curves:
        write_text(out_dir / "figure6.svg", figure6(found))
    for task, (policy_dir, data) in neighbor_policies.items():
        picture = figure3(policy_dir, data)
        with atomic_file(out_dir / f"figure3-{task}.jpg") as file:
            file.write(picture)


def _collapsed(found: Measurements, task: str, name: str) -> str:
    """How many seeds' encoders gave nearly one embedding for all frames, in words."""
    rows = found.details[task][name]
    count = sum(bool(row.get("collapsed")) for row in rows)
    if not count:
        return ""
    return "collapsed" if count == len(rows) else f"{count} of {len(rows)} collapsed"


def _heading(task: str, found: Measurements) -> str:
    counts = found.demonstrations[task]
    title = TASKS[task].title if task in TASKS else task
    return f"{title} ({counts['train']} / {counts['test']} demonstrations)"
