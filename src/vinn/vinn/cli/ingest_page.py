"""The page of an ingested clip: path, frames with action arrows, steps and verdicts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.ingest.clip import ClipFolder
from vinn.ingest.motion.steps import Assessment, Step
from vinn.viz.arrow import draw_action
from vinn.viz.plots import lines
from vinn.viz.report import Report, Tile

_TILE_WIDTH_PX = 240
_COLUMNS = 4


def write_clip_page(clip: ClipFolder) -> Path | None:
    """Write `report.html` into a clip's folder; None if it has no verdict yet."""
    assessment = clip.assessment
    if assessment is None:
        return None
    steps = assessment.steps
    kept = sum(step.kept for step in steps)
    figures = assessment.figures
    report = Report(f"Clip {clip.name}", assessment.failure or "accepted by the quality gate")
    report.tiles(
        [
            Tile("Verdict", "rejected" if assessment.failure else "accepted", "",
                 assessment.failure is None),
            Tile("Steps kept", f"{kept} / {len(steps)}"),
            Tile("Agreement", _number(figures.get("median_agreement")), "median cosine of mappers"),
            Tile("Frames placed", f"{figures.get('registered', 0.0):.0%}", "by both mappers"),
        ]
    )  # fmt: skip
    if steps:
        _add_path(report, assessment)
        _add_frames(report, clip, steps)
        _add_steps(report, steps)
    section = report.section("Figures")
    section.table(["figure", "value"], [[name, value] for name, value in figures.items()])
    return report.write(clip.path / "report.html")


def _add_path(report: Report, assessment: Assessment) -> None:
    """The kept steps' unit vectors added up: their shape, seen by a camera that does not turn."""
    path = np.vstack([np.zeros(3), np.cumsum([s.camera_delta for s in assessment.steps], axis=0)])
    section = report.section("Path")
    times = np.arange(len(path))
    section.svg(
        lines(
            {
                name: (times, path[:, axis])
                for axis, name in enumerate(("right", "down", "forward"))
            },
            "step",
            "sum of unit steps",
        ),
        "Camera-frame directions added up step by step.",
    )
    right, _, forward = path.T
    section.svg(
        lines(
            {"path": (right, forward), "start": (right[:2], forward[:2])},
            "sum of unit steps to the right",
            "forward",
        ),
        "The same from above.",
    )
    section.svg(
        lines(
            {
                "agreement": (times[:-1], [s.agreement for s in assessment.steps]),
                "explained share of the picture": (
                    times[:-1],
                    [s.consistent for s in assessment.steps],
                ),
                "relative sharpness": (
                    times[:-1],
                    [s.relative_sharpness for s in assessment.steps],
                ),
            },
            "step",
            "share, cosine",
        ),
        "What the verdicts stand on.",
    )


def _add_frames(report: Report, clip: ClipFolder, steps: tuple[Step, ...]) -> None:
    slots = clip.slots
    tiles = [_tile(clip.frame(slots[s.frame]), s) for s in steps if s.frame is not None]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    report.section("Frames").image(
        np.vstack(rows), "Each action frame with its action; crossed out where it was dropped."
    )


def _tile(image_rgb: NDArray[np.uint8], step: Step) -> NDArray[np.uint8]:
    height = round(image_rgb.shape[0] * _TILE_WIDTH_PX / image_rgb.shape[1])
    size = (_TILE_WIDTH_PX, height)
    small = np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    tile = np.ascontiguousarray(small)
    draw_action(tile, step.camera_delta, ActionScale.UNIT)
    label = str(step.index) if step.kept else f"{step.index} {step.reason.value}"
    cv2.putText(tile, label, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(tile, label, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,) * 3, 1, cv2.LINE_AA)
    if not step.kept:
        cv2.line(tile, (0, height), (_TILE_WIDTH_PX, 0), (220, 40, 40), 2, cv2.LINE_AA)
    return tile


def _add_steps(report: Report, steps: tuple[Step, ...]) -> None:
    rows = [
        [
            s.index,
            s.kept,
            s.reason.value,
            " ".join(f"{v:+.2f}" for v in s.camera_delta) if s.moves else "still",
            _number(s.length),
            _number(s.agreement),
            _number(s.consistent),
            s.observations,
            _number(s.relative_sharpness),
        ]
        for s in steps
    ]
    header = ["step", "kept", "reason", "right down forward", "length", "agreement", "explained",
              "points", "sharpness"]  # fmt: skip
    report.section("Steps").table(header, rows)


def _number(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.2f}"
