"""The page of a dataset: statistics, starts, near-duplicates, and every demonstration's frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale, Demonstration, GripperState
from vinn.ingest.overview import near_duplicates, principal_plane, start_thumbnails
from vinn.viz.arrow import draw_action
from vinn.viz.plots import distributions, lines
from vinn.viz.report import Report, Tile

_TILE_PX, _COLUMNS = 132, 8
_GRIPPER_RGB = ((44, 162, 95), (166, 217, 106), (253, 174, 97), (215, 48, 31))
_GRIPPER_NAMES = ", ".join(
    f"{state.name.lower().replace('_', ' ')} {colour}"
    for state, colour in zip(GripperState, ("green", "light green", "orange", "red"), strict=True)
)


def write_dataset_page(dataset: Dataset, path: Path, limit: int) -> Path:
    """Write the page; only the first `limit` demonstrations are shown frame by frame."""
    demonstrations = dataset.demonstrations
    thumbnails = start_thumbnails(dataset)
    names = [d.meta.name for d in demonstrations]
    doubles = near_duplicates(names, thumbnails)
    acting = [d for d in demonstrations if d.meta.has_actions]
    report = Report(f"Dataset {dataset.root.name}", f"hash {dataset.hash[:16]}")
    report.tiles(
        [
            Tile("Demonstrations", str(len(demonstrations))),
            Tile("Frames", str(dataset.frame_count)),
            Tile("Without actions", str(len(demonstrations) - len(acting))),
            Tile("Starts alike", str(len(doubles)), "pairs of near-duplicates", not doubles),
        ]
    )
    if acting:
        _add_statistics(report, acting)
    _add_starts(report, names, principal_plane(thumbnails))
    section = report.section("Near-duplicates")
    if doubles:
        rows = [[pair.first, pair.second, pair.distance] for pair in doubles[:100]]
        section.table(["demonstration", "starts like", "distance"], rows)
    else:
        section.text("No two demonstrations start with nearly the same picture.")
    shown = report.section("Demonstrations")
    shown.text(f"The bar below a frame is the gripper state its step leads to: {_GRIPPER_NAMES}.")
    for demonstration in demonstrations[:limit]:
        caption = f"{demonstration.meta.name}: {demonstration.meta.task}, {len(demonstration)}"
        shown.image(_strip(demonstration), f"{caption} frames")
    if len(demonstrations) > limit:
        shown.text(f"{len(demonstrations) - limit} more are not shown (--limit).")
    return report.write(path)


def _add_statistics(report: Report, acting: list[Demonstration]) -> None:
    delta = np.concatenate([d.camera_delta for d in acting]).astype(np.float64)
    metric = acting[0].meta.action_scale is ActionScale.METRIC
    unit = "cm" if metric else "unit vectors"
    length = np.linalg.norm(delta, axis=1)
    section = report.section("Statistics")
    axes = dict(zip(("right", "down", "forward"), np.abs(delta).T, strict=True))
    factor = 100 if metric else 1
    samples = {name: values * factor for name, values in axes.items()}
    section.svg(distributions({**samples, "length": length * factor}, f"size [{unit}]"))
    gripper = np.concatenate([d.gripper for d in acting])
    lengths = [len(d) for d in acting]
    rows = [
        ["frames per demonstration", f"{min(lengths)} to {max(lengths)}"],
        ["steps that stand still", f"{(length == 0).mean():.1%}"],
        *(
            [f"gripper {state.name.lower().replace('_', ' ')}", f"{(gripper == state).mean():.1%}"]
            for state in GripperState
        ),
    ]
    section.table(["what", "value"], rows)


def _add_starts(report: Report, names: list[str], plane: NDArray[np.float64]) -> None:
    section = report.section("Coverage of starts")
    # A line of one point is drawn as a short dash: each start is one.
    reach = max(float(np.abs(plane).max()), 1e-6) * 0.02
    marks = {
        name: ([x - reach, x + reach, x, x, x], [y, y, y, y - reach, y + reach])
        for name, (x, y) in zip(names, plane, strict=True)
    }
    section.svg(
        lines(marks, "first direction", "second direction", max_legend=0),
        "First frames along their two directions of greatest difference: gaps are starts that "
        "nobody demonstrated.",
    )


def _strip(demonstration: Demonstration) -> NDArray[np.uint8]:
    tiles = []
    for path, delta, gripper in zip(
        demonstration.frame_paths,
        demonstration.camera_delta,
        demonstration.gripper,
        strict=True,
    ):
        image = read_frame(path)
        height = round(image.shape[0] * _TILE_PX / image.shape[1])
        tile = np.ascontiguousarray(
            cv2.resize(image, (_TILE_PX, height), interpolation=cv2.INTER_AREA), np.uint8
        )
        if demonstration.meta.has_actions:
            draw_action(tile, delta, demonstration.meta.action_scale)
            tile[-5:] = _GRIPPER_RGB[int(gripper)]
        tiles.append(tile)
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)
