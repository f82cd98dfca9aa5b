"""A rollout to scrub through, as data for the report's page: frames, neighbours, tracks, events."""

from __future__ import annotations

import base64
import bisect
import itertools
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import encode_jpeg
from vinn.errors import ArtefactError
from vinn.policies.types import Neighbor, Prediction
from vinn.recordings.tracks import RolloutTracks, SentStep
from vinn.viz.arrow import arrow_geometry
from vinn.viz.grasp import format_grasp_point
from vinn.viz.mosaic import Thumbnail
from vinn.viz.timeline import RecordedImage, RecordedPrediction, RolloutTimeline

MAX_FRAMES = 400
"""More frames than this are thinned out evenly; a page stays below some tens of megabytes."""
MAX_SIDE_PX = 480
MAX_NEIGHBORS = 10
MAX_POINTS = 600
"""Of each track."""


def scrubber_data(
    timeline: RolloutTimeline,
    tracks: RolloutTracks,
    thumbnail: Thumbnail | None,
    progress: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> dict[str, Any]:
    """What the page needs to show one rollout, for JSON; times in seconds since its start.

    Args:
        timeline: images, predictions, scene.
        tracks: of the same recording.
        thumbnail: gives the picture of a neighbour by its `index`; None: no pictures.
        progress: where the neighbours of each prediction stand in their demonstrations, 0 .. 1,
            mean and spread, (N,) each; None: unknown.
    """
    images = {image.stamp_ns: image for image in timeline.wrist}
    seen = [p for p in timeline.predictions if p.stamp_ns in images]
    chosen = _thinned(seen, MAX_FRAMES)
    pictures: dict[int, str] = {}
    frames = [
        _frame(timeline, tracks, recorded, images[recorded.stamp_ns], thumbnail, pictures)
        for recorded in chosen
    ]
    return {
        "frames": frames,
        "pictures": pictures,
        "tracks": _tracks(timeline, tracks, seen, progress),
        "events": [
            {"t": _seconds(timeline, e.recorded_ns), "source": e.source, "text": e.text}
            for e in tracks.events
        ],
        "steps": [_seconds(timeline, step.recorded_ns) for step in timeline.steps],
        "duration": _seconds(timeline, timeline.end_ns),
    }


def neighbor_jumps(predictions: Sequence[Prediction]) -> float:
    """Share of frames whose nearest demonstration is not that of the frame before; NaN: unknown.

    A view that is unlike the demonstrations has neighbours here and there.
    """
    names = [p.neighbors[0].demonstration for p in predictions if p.neighbors]
    if len(names) < 2:
        return math.nan
    return float(np.mean([before != now for before, now in itertools.pairwise(names)]))


def _frame(
    timeline: RolloutTimeline,
    tracks: RolloutTracks,
    recorded: RecordedPrediction,
    image: RecordedImage,
    thumbnail: Thumbnail | None,
    pictures: dict[int, str],
) -> dict[str, Any]:
    said = recorded.prediction
    shown = said.neighbors[:MAX_NEIGHBORS]
    for neighbor in shown:
        if thumbnail is not None and neighbor.index not in pictures:
            pictures[neighbor.index] = _picture(thumbnail, neighbor.index)
    return {
        "t": _seconds(timeline, recorded.recorded_ns),
        "sequence": recorded.sequence,
        "image": _shrunk(image),
        "delta": _rounded(said.camera_delta),
        "scale": said.action_scale.value,
        "arrow": _arrow(said.camera_delta, said),
        "gripper": round(said.gripper_value, 3),
        "states": _rounded(said.gripper_probabilities),
        "novelty": _number(said.novelty),
        "latency": {name: round(1e3 * s, 1) for name, s in said.latency_s.items()},
        "neighbors": [_neighbor(neighbor, said) for neighbor in shown],
        "grasp": _grasp(said),
        "sent": _sent(tracks.steps, recorded.recorded_ns),
    }


def _grasp(said: Prediction) -> dict[str, Any] | None:
    """In the image, 0..1 (None: outside, or no deviation known), and in words."""
    point = said.grasp_point
    if point is None:
        return None
    inside, known = np.isfinite(point.image_uv).all(), np.isfinite(point.image_std).all()
    return {
        "uv": _rounded(point.image_uv) if inside else None,
        "std": _rounded(point.image_std) if inside and known else None,
        "text": format_grasp_point(point, said.action_scale),
    }


def _neighbor(neighbor: Neighbor, said: Prediction) -> dict[str, Any]:
    return {
        "index": neighbor.index,
        "demonstration": neighbor.demonstration,
        "frame": neighbor.frame,
        "distance": round(neighbor.distance, 3),
        "weight": round(neighbor.weight, 4),
        "arrow": _arrow(neighbor.camera_delta, said),
        "gripper": neighbor.gripper_state,
    }


def _arrow(camera_delta: NDArray[np.floating], said: Prediction) -> list[float]:
    """Tip from the middle in units of the image's side, and the forward share -1..1."""
    geometry = arrow_geometry(camera_delta, said.action_scale, 1000, 1000)
    return [
        round((geometry.tip_px[0] - geometry.start_px[0]) / 1000, 4),
        round((geometry.tip_px[1] - geometry.start_px[1]) / 1000, 4),
        round(geometry.forward_fraction, 3),
    ]


def _sent(steps: Sequence[SentStep], time_ns: int) -> dict[str, Any] | None:
    """The first step that ended after a prediction; it is the one that was made of it, or of one
    shortly before."""
    place = bisect.bisect_left([step.recorded_ns for step in steps], time_ns)
    if place == len(steps):
        return None
    step = steps[place]
    return {
        "requested": _rounded(step.requested_base_delta_m),
        "sent": _rounded(step.sent_base_delta_m),
        "closed": step.gripper_closed,
        "reason": step.reason,
    }


def _tracks(
    timeline: RolloutTimeline,
    tracks: RolloutTracks,
    seen: Sequence[RecordedPrediction],
    progress: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> list[dict[str, Any]]:
    times = [_seconds(timeline, p.recorded_ns) for p in seen]
    said = [p.prediction for p in seen]
    moved = [float(np.linalg.norm(p.camera_delta)) for p in said]
    step_times = [_seconds(timeline, step.recorded_ns) for step in tracks.steps]
    wanted = [float(np.linalg.norm(s.requested_base_delta_m)) for s in tracks.steps]
    sent = [float(np.linalg.norm(s.sent_base_delta_m)) for s in tracks.steps]
    closed_times, closed = _as_steps(timeline, tracks)
    limits = [
        {"y": value, "name": name}
        for value, name in ((tracks.close_above, "closes"), (tracks.open_below, "opens"))
        if value is not None
    ]
    order = {
        name: i
        for i, name in enumerate(
            dict.fromkeys(p.neighbors[0].demonstration for p in said if p.neighbors)
        )
    }
    nearest = [
        float(order[p.neighbors[0].demonstration]) if p.neighbors else math.nan for p in said
    ]
    every_time = [_seconds(timeline, p.recorded_ns) for p in timeline.predictions]
    place = {
        name: (every_time, [float(v) for v in values])
        for name, values in zip(("mean", "spread"), progress or (), strict=False)
    }
    result = [
        _track("gripper", "0 open .. 3 closed", limits,
               value=(times, [p.gripper_value for p in said]),
               closed=(closed_times, closed)),
        _track("grasp point", "from between the finger tips, camera axes; m (unit actions: 1)", [],
               **_grasp_lines(times, said)),
        _track("novelty", "1: the limit", [{"y": 1.0, "name": "limit"}],
               novelty=(times, [p.novelty for p in said])),
        _track("nearest demonstration", "number, in order of appearance", [],
               demonstration=(times, nearest)),
        _track("neighbours' place in their demonstrations", "0 first frame .. 1 last", [], **place),
        _track("length of the step", "m (unit actions: 1)", [],
               predicted=(times, moved), requested=(step_times, wanted), sent=(step_times, sent)),
        _track("latency", "ms", [], **{
            stage: (times, [1e3 * p.latency_s.get(stage, math.nan) for p in said])
            for stage in ("preprocess", "encode", "retrieve")
        }),
        _track("joints", "m, rad", [], **{
            name: ([_seconds(timeline, t) for t, _ in values], [v for _, v in values])
            for name, values in tracks.joints.items()
        }),
        _track("door", "deg", [{"y": 30.0, "name": "opened"}], angle=(
            [_seconds(timeline, m.recorded_ns) for m in timeline.scene],
            [math.degrees(m.door_angle_rad) for m in timeline.scene],
        )),
    ]  # fmt: skip
    return [track for track in result if track["lines"]]


def _grasp_lines(
    times: Sequence[float], said: Sequence[Prediction]
) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """Right, down, forward, and the largest standard deviation, of each prediction."""
    points = [p.grasp_point for p in said]
    delta = np.array([np.full(3, np.nan) if p is None else p.camera_delta for p in points])
    largest = [math.nan if p is None else float(p.std.max()) for p in points]
    lines = dict(zip(("right", "down", "forward"), delta.reshape(-1, 3).T.tolist(), strict=True))
    return {name: (times, values) for name, values in {**lines, "deviation": largest}.items()}


def _as_steps(timeline: RolloutTimeline, tracks: RolloutTracks) -> tuple[list[float], list[float]]:
    """Open and closed over time as corners of a line: 0 and 3, the ends of the gripper value."""
    times: list[float] = []
    values: list[float] = []
    for time_ns, closed in tracks.gripper_closed:
        times += [_seconds(timeline, time_ns)] * (2 if values else 1)
        values += [*values[-1:], 3.0 * closed]
    if values:
        times.append(_seconds(timeline, timeline.end_ns))
        values.append(values[-1])
    return times, values


def _track(
    name: str,
    unit: str,
    limits: list[dict[str, Any]],
    **lines: tuple[Sequence[float], Sequence[float]],
) -> dict[str, Any]:
    drawn = {}
    for line, (times, values) in lines.items():
        points = [
            [round(t, 3), round(float(v), 4)]
            for t, v in zip(times, values, strict=True)
            if math.isfinite(v)
        ]
        if points:
            drawn[line] = _thinned(points, MAX_POINTS)
    return {"name": name, "unit": unit, "limits": limits, "lines": drawn}


def _thinned(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many, evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    places = np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))
    return [items[place] for place in places]


def _shrunk(image: RecordedImage) -> str:
    """The recorded JPEG, scaled down where it is large."""
    rgb = image.decode()
    scale = MAX_SIDE_PX / max(rgb.shape[:2])
    if scale >= 1:
        return _uri(image.jpeg)
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return _uri(encode_jpeg(np.asarray(small, np.uint8), 80))


def _picture(thumbnail: Thumbnail, index: int) -> str:
    try:
        return _uri(encode_jpeg(thumbnail(index), 80))
    except (IndexError, ArtefactError):
        return ""  # the artefact at hand is another one


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _seconds(timeline: RolloutTimeline, time_ns: int) -> float:
    return round((time_ns - timeline.start_ns) / 1e9, 3)


def _rounded(values: NDArray[np.floating]) -> list[float]:
    return [round(float(value), 5) for value in values]


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
