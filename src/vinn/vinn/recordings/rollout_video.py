"""The video of a rollout: what the policy saw and why it acted, beside what happened."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vinn.errors import DatasetError
from vinn.viz import style
from vinn.viz.mosaic import MOSAIC_HEIGHT_PX, MOSAIC_WIDTH_PX, Thumbnail, fit_image, neighbor_mosaic
from vinn.viz.text import TextLayer
from vinn.viz.timeline import RolloutTimeline, SceneMoment
from vinn.viz.video import VideoWriter

FPS = 15
FRAMES_PER_STEP = 3
"""A video lasts so many frames per step: simulation runs unpaced, so wall time says little."""

_Item = TypeVar("_Item", bound="_Recorded")

_SIDE_WIDTH = 492  # the overview camera's 480 px need no scaling then
_SIDE_IMAGE_HEIGHT = 360
_DOOR_SCALE_DEG = 90.0
_OPENED_DEG = 30.0


class _Recorded(Protocol):
    @property
    def recorded_ns(self) -> int: ...


def write_rollout_video(
    timeline: RolloutTimeline,
    path: Path,
    thumbnail: Thumbnail,
    title: str,
    on_poster: Callable[[NDArray[np.uint8]], None] | None = None,
) -> Path:
    """Write the video of a recorded rollout.

    Args:
        timeline: the recording; needs at least one prediction and its wrist image.
        path: the mp4.
        thumbnail: gives the picture of a neighbour by its row in the policy artefact.
        title: written above the scene, e.g. cabinet and policy.
        on_poster: is given the frame in the middle, for a still of the rollout.

    Returns:
        `path`. The video is 1500 x 480 at 15 frames/s, three frames per step.

    Raises:
        DatasetError: the recording holds no prediction with its image.
    """
    steps = [
        (prediction, image)
        for _, prediction in timeline.steps_with_predictions()
        if (image := timeline.image_of(prediction)) is not None
    ]
    if not steps:
        raise DatasetError(f"{timeline.path}: no prediction with its wrist image to draw")
    times = np.linspace(timeline.start_ns, timeline.end_ns, FRAMES_PER_STEP * (len(steps) + 1))
    step_times = [prediction.recorded_ns for prediction, _ in steps]
    drawn, mosaic = -1, np.zeros((MOSAIC_HEIGHT_PX, MOSAIC_WIDTH_PX, 3), np.uint8)
    with VideoWriter(path, FPS) as writer:
        for i, time_ns in enumerate(times):
            step = max(0, bisect.bisect_right(step_times, time_ns) - 1)
            if step != drawn:
                prediction, image = steps[step]
                mosaic = neighbor_mosaic(image.decode(), prediction.prediction, thumbnail)
                drawn = step
            side = _side(timeline, int(time_ns), title, f"step {step + 1} of {len(steps)}")
            frame = np.hstack([mosaic, side])
            writer.add(frame)
            if on_poster is not None and i == len(times) * 3 // 4:
                on_poster(frame)
    return path


def _side(timeline: RolloutTimeline, time_ns: int, title: str, progress: str) -> NDArray[np.uint8]:
    """The right part: overview camera, and the door's angle below it."""
    panel = np.empty((MOSAIC_HEIGHT_PX, _SIDE_WIDTH, 3), np.uint8)
    panel[:] = style.CANVAS
    text = TextLayer()
    text.add(title, (0, 24), 14)
    text.add(progress, (_SIDE_WIDTH - 12, 24), 13, style.MUTED, "right")
    overview = _latest(timeline.overview, time_ns)
    if overview is not None:
        box = fit_image(overview.decode(), _SIDE_IMAGE_HEIGHT, _SIDE_WIDTH - 12)
        panel[36 : 36 + _SIDE_IMAGE_HEIGHT, : _SIDE_WIDTH - 12] = box
    moment = _latest(timeline.scene, time_ns)
    if moment is not None:
        _draw_door(panel, text, moment)
    return text.draw(panel)


def _draw_door(panel: NDArray[np.uint8], text: TextLayer, moment: SceneMoment) -> None:
    angle_deg = math.degrees(moment.door_angle_rad)
    top, width = 436, _SIDE_WIDTH - 12
    color = style.WEIGHT if moment.opened else style.FORWARD
    panel[top : top + 8, :width] = style.PANEL
    filled = round(width * min(max(angle_deg / _DOOR_SCALE_DEG, 0.0), 1.0))
    panel[top : top + 8, :filled] = color
    mark = round(width * _OPENED_DEG / _DOOR_SCALE_DEG)
    panel[top - 4 : top + 12, mark : mark + 2] = style.TEXT
    text.add(f"door {max(angle_deg, 0.0):.0f}°", (0, 424), 15)
    words = [
        name
        for name, reached in (
            ("grasped", moment.grasped),
            ("opened", moment.opened),
            ("fully opened", moment.fully_opened),
        )
        if reached
    ]
    text.add("  ".join(words), (width, 424), 13, color, "right")
    text.add("30°", (mark, 464), 11, style.MUTED, "center")
    text.add("0", (0, 464), 11, style.MUTED)
    text.add("90°", (width, 464), 11, style.MUTED, "right")


def _latest(series: Sequence[_Item], time_ns: int) -> _Item | None:
    """The newest entry at a time, or the first one to come."""
    if not series:
        return None
    place = bisect.bisect_right([entry.recorded_ns for entry in series], time_ns)
    return series[max(0, place - 1)]
