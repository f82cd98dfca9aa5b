"""The page of a replay: what was said then, what a policy says now, and a second one beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vinn.policies.types import GraspPoint
from vinn.recordings.replay import SAME_ACTION, Replay, ReplayedPrediction, ReplaySummary
from vinn.viz import plots, style
from vinn.viz.grasp import draw_grasp_point, format_grasp_point
from vinn.viz.mosaic import fit_image, fitted_box
from vinn.viz.report import Report, Tile

_SHOWN_ROWS = 200
_SHOWN_POINTS, _POINT_PX = 4, 280
_Line = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Times [s] and values, (N,) each."""


def build_replay_report(replays: Mapping[str, Replay]) -> Report:
    """The page of one recording replayed by one or several policies, by name."""
    first = next(iter(replays.values()))
    summaries = {name: replay.summary() for name, replay in replays.items()}
    report = Report("Replay", f"{first.timeline.path.name}, seen again by {', '.join(replays)}")
    report.tiles([tile for name, summary in summaries.items() for tile in _tiles(name, summary)])
    _table(report, summaries)
    _plots(report, replays)
    for name, replay in replays.items():
        _changes(report, name, replay)
        _grasp_points(report, name, replay)
    return report


def _tiles(name: str, summary: ReplaySummary) -> list[Tile]:
    same = summary.same_actions == summary.predictions
    return [
        Tile(
            f"Same actions, {name}",
            f"{summary.same_actions} / {summary.predictions}",
            f"within {SAME_ACTION:g}; largest difference {summary.max_action_difference:.2g}",
            good=True if same else None,
        ),
        Tile("Speed", f"{summary.speed:.1f} ×", f"real time; {summary.replay_s:.1f} s"),
    ]


def _table(report: Report, summaries: Mapping[str, ReplaySummary]) -> None:
    def row(what: str, values: list[float | int | None]) -> list[object]:
        return [what, *values]

    every = list(summaries.values())
    degrees = [math.degrees(s.angle_median_rad) for s in every]
    largest = [math.degrees(s.angle_max_rad) for s in every]
    rows = [
        row("predictions compared", [s.predictions for s in every]),
        row("predictions without recorded image", [s.without_image for s in every]),
        row("angle to the recorded action, median [deg]", [_known(v) for v in degrees]),
        row("the same, largest [deg]", [_known(v) for v in largest]),
        row("length difference, median", [_known(s.length_difference_median) for s in every]),
        row("gripper value difference, largest", [_known(s.gripper_difference_max) for s in every]),
        row("neighbours changed, mean", [_known(s.neighbors_changed_mean) for s in every]),
        row("novelty difference, largest", [_known(s.novelty_difference_max) for s in every]),
    ]
    report.section("Difference to the recording").table(["what", *summaries], rows)


def _plots(report: Report, replays: Mapping[str, Replay]) -> None:
    section = report.section("Over time")
    angle: dict[str, _Line] = {}
    gripper: dict[str, _Line] = {}
    novelty: dict[str, _Line] = {}
    for name, replay in replays.items():
        times_s = np.array(
            [(r.recorded.recorded_ns - replay.timeline.start_ns) / 1e9 for r in replay.rows]
        )
        angle[name] = (times_s, np.degrees([row.angle_rad for row in replay.rows]))
        for target, attribute in ((gripper, "gripper_value"), (novelty, "novelty")):
            recorded = [getattr(row.recorded.prediction, attribute) for row in replay.rows]
            target.setdefault("recorded", (times_s, np.array(recorded)))
            replayed = [getattr(row.replayed, attribute) for row in replay.rows]
            target[name] = (times_s, np.array(replayed))
    label = "time since the start [s]"
    section.svg(plots.lines(angle, label, "angle [deg]"), "Angle to the recorded translation.")
    section.svg(plots.lines(gripper, label, "gripper value"), "0 open, 3 closed.")
    if any(np.isfinite(values).any() for _, values in novelty.values()):
        section.svg(
            plots.lines(novelty, label, "novelty", (1.0, "limit")),
            "Distance of the nearest demonstration frame over the calibrated limit.",
        )


def _changes(report: Report, name: str, replay: Replay) -> None:
    changed = [row for row in replay.rows if row.action_difference > SAME_ACTION]
    if not changed:
        return
    section = report.section(f"Where {name} differs")
    changed.sort(key=lambda row: -row.action_difference)
    rows = [
        [
            round((row.recorded.recorded_ns - replay.timeline.start_ns) / 1e9, 2),
            row.recorded.sequence,
            _known(math.degrees(row.angle_rad)),
            row.length_difference,
            row.gripper_difference,
            row.neighbors_changed,
        ]
        for row in changed[:_SHOWN_ROWS]
    ]
    header = ["time [s]", "sequence", "angle [deg]", "length", "gripper", "neighbours changed"]
    more = len(changed) - len(rows)
    section.table(header, rows, f"Largest differences first{f'; {more} more' if more else ''}")


def _grasp_points(report: Report, name: str, replay: Replay) -> None:
    """The recorded point (blue) and the one of now (yellow), where they are farthest apart."""
    rows = [row for row in replay.rows if _points(row)]
    if not rows:
        return
    section = report.section(f"Grasp points, {name}")
    apart = {id(row): _apart(row) for row in rows}
    rows.sort(key=lambda row: -apart[id(row)] if math.isfinite(apart[id(row)]) else 0.0)
    pictures = []
    for row in rows[:_SHOWN_POINTS]:
        image = replay.timeline.image_of(row.recorded)
        if image is None:
            continue
        picture = fit_image(image.decode(), _POINT_PX, _POINT_PX)
        box = fitted_box(image.decode().shape[:2], _POINT_PX, _POINT_PX)
        for said, color in (
            (row.recorded.prediction, style.BACKWARD),
            (row.replayed, style.GRASP),
        ):
            if said.grasp_point is not None:
                draw_grasp_point(picture, said.grasp_point, box, color)
        pictures.append(picture)
    section.image(
        np.hstack(pictures), "Recorded: blue; now: yellow; one standard deviation around each."
    )
    table = [
        [
            round((row.recorded.recorded_ns - replay.timeline.start_ns) / 1e9, 2),
            row.recorded.sequence,
            *(
                "" if said.grasp_point is None
                else format_grasp_point(said.grasp_point, said.action_scale)
                for said in (row.recorded.prediction, row.replayed)
            ),
            _known(apart[id(row)]),
        ]
        for row in rows[:_SHOWN_ROWS]
    ]  # fmt: skip
    section.table(["time [s]", "sequence", "recorded", "now", "apart"], table)


def _points(row: ReplayedPrediction) -> list[GraspPoint]:
    both = (row.recorded.prediction.grasp_point, row.replayed.grasp_point)
    return [point for point in both if point is not None]


def _apart(row: ReplayedPrediction) -> float:
    """Distance of the two points, in the action scale; NaN where one is missing."""
    points = _points(row)
    if len(points) < 2:
        return math.nan
    return float(np.linalg.norm(points[0].camera_delta - points[1].camera_delta))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
