"""The grasp point is drawn where it is, in every picture, with its deviation; or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from vinn.demos.frames import encode_jpeg
from vinn.demos.types import ActionScale
from vinn.policies.types import GraspPoint, Prediction
from vinn.recordings.replay import Replay, ReplayedPrediction
from vinn.recordings.replay_report import build_replay_report
from vinn.recordings.scrubber import scrubber_data
from vinn.recordings.tracks import RolloutTracks
from vinn.rollout.storage.images import COMPRESSED_IMAGE
from vinn.viz import style
from vinn.viz.grasp import draw_grasp_point, format_grasp_point
from vinn.viz.mosaic import neighbor_mosaic
from vinn.viz.timeline import RecordedImage, RecordedPrediction, RolloutTimeline

YELLOW = np.array(style.GRASP)


def a_point(uv: tuple[float, float], std: tuple[float, float] = (np.nan, np.nan)) -> GraspPoint:
    return GraspPoint(
        np.array([0.012, -0.004, 0.123]),
        np.array([0.004, 0.005, 0.021]),
        np.array(uv),
        np.array(std),
    )


def drawn(image: np.ndarray, color: np.ndarray = YELLOW) -> np.ndarray:
    """(N, 2) x and y of the pixels in a colour."""
    near = np.abs(image.astype(int) - color).max(axis=2) < 40
    return np.argwhere(near)[:, ::-1]


@pytest.mark.parametrize("seed", range(8))
def test_the_cross_and_the_ellipse_are_where_the_point_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    canvas = np.full((300, 400, 3), 40, np.uint8)
    box = (30, 20, *(int(v) for v in rng.integers(150, 250, 2)))
    uv, std = rng.uniform(0.3, 0.7, 2), rng.uniform(0.08, 0.15, 2)
    assert draw_grasp_point(canvas, a_point(tuple(uv), tuple(std)), box)
    pixels = drawn(canvas)
    center = np.array(box[:2]) + uv * box[2:]
    np.testing.assert_allclose((pixels.min(axis=0) + pixels.max(axis=0)) / 2, center, atol=1.5)
    # The ellipse is the widest that is drawn: one deviation to each side.
    np.testing.assert_allclose(np.ptp(pixels, axis=0) / 2, std * box[2:], atol=2.5)
    # Without a known deviation a cross alone.
    cross = np.full((300, 400, 3), 40, np.uint8)
    assert draw_grasp_point(cross, a_point(tuple(uv)), box)
    arm = 0.045 * min(box[2:])
    np.testing.assert_allclose(np.ptp(drawn(cross), axis=0) / 2, [arm, arm], atol=2)


@pytest.mark.parametrize("uv", [(np.nan, np.nan), (-0.1, 0.5), (0.5, 1.2), (np.inf, 0.5)])
def test_outside_of_the_image_nothing_is_drawn(uv: tuple[float, float]) -> None:
    canvas = np.full((100, 100, 3), 40, np.uint8)
    assert not draw_grasp_point(canvas, a_point(uv, (0.1, 0.1)), (0, 0, 100, 100))
    assert (canvas == 40).all()


def test_a_deviation_without_bound_still_draws() -> None:
    for std in ((1e9, 0.1), (np.inf, np.inf), (0.0, 0.0)):
        canvas = np.full((100, 100, 3), 40, np.uint8)
        assert draw_grasp_point(canvas, a_point((0.5, 0.5), std), (0, 0, 100, 100))
        assert len(drawn(canvas)) > 10


def test_it_is_said_in_the_actions_unit() -> None:
    point = a_point((0.5, 0.5))
    said = format_grasp_point(point, ActionScale.METRIC)
    assert said == "x +1.2 ±0.4  y -0.4 ±0.5  z +12.3 ±2.1 cm"
    assert format_grasp_point(point, ActionScale.UNIT).endswith("z +0.12 ±0.02")


def a_prediction(point: GraspPoint | None) -> Prediction:
    return Prediction(
        np.array([0.0, 0.0, 0.01]), 0.5, np.full(4, 0.25), ActionScale.METRIC, grasp_point=point
    )


def test_the_mosaic_shows_it_on_an_image_of_any_shape() -> None:
    def no_picture(index: int) -> np.ndarray:
        raise AssertionError(index)

    for height, width in ((480, 640), (640, 480), (224, 224)):
        image = np.full((height, width, 3), 60, np.uint8)
        plain = neighbor_mosaic(image, a_prediction(None), no_picture)
        shown = neighbor_mosaic(image, a_prediction(a_point((0.25, 0.75))), no_picture)
        assert len(drawn(plain)) == 0
        pixels = drawn(shown[:388])  # below are words in the same colour
        # The picture is 376 px on its longer side, in the middle of a square at (12, 12).
        scale = 376 / max(height, width)
        left, top = 12 + (376 - width * scale) / 2, 12 + (376 - height * scale) / 2
        expected = [left + 0.25 * width * scale, top + 0.75 * height * scale]
        np.testing.assert_allclose(pixels.mean(axis=0), expected, atol=3)
        assert len(drawn(shown[388:])) > 20


def a_timeline(points: list[GraspPoint | None]) -> RolloutTimeline:
    timeline = RolloutTimeline(Path("r.mcap"))
    image = encode_jpeg(np.full((48, 64, 3), 60, np.uint8))
    for i, point in enumerate(points):
        message = SimpleNamespace(format="jpeg", data=image)
        timeline.wrist.append(RecordedImage(10 * i, 10 * i, COMPRESSED_IMAGE, message))
        timeline.predictions.append(
            RecordedPrediction(10 * i + 5, 10 * i, i + 1, a_prediction(point), 0.1)
        )
    return timeline


def test_the_rollout_page_has_it_in_each_frame_and_over_time() -> None:
    points = [
        a_point((0.25, 0.5), (0.1, 0.2)), a_point((0.5, 0.5)), a_point((np.nan, np.nan)), None
    ]  # fmt: skip
    data = scrubber_data(a_timeline(points), RolloutTracks(), None)
    first, second, third, fourth = (frame["grasp"] for frame in data["frames"])
    assert (first["uv"], first["std"]) == ([0.25, 0.5], [0.1, 0.2])
    assert (second["uv"], second["std"]) == ([0.5, 0.5], None)
    assert (third["uv"], third["std"]) == (None, None)
    assert first["text"] == third["text"] == format_grasp_point(points[0], ActionScale.METRIC)  # type: ignore[arg-type]
    assert fourth is None
    track = next(track for track in data["tracks"] if track["name"] == "grasp point")
    assert [v for _, v in track["lines"]["forward"]] == [0.123] * 3
    assert [v for _, v in track["lines"]["deviation"]] == [0.021] * 3
    none = scrubber_data(a_timeline([None, None]), RolloutTracks(), None)
    assert "grasp point" not in [track["name"] for track in none["tracks"]]


def a_replay(change: Callable[[GraspPoint], GraspPoint]) -> Replay:
    timeline = a_timeline([a_point((0.25, 0.5), (0.1, 0.1)), a_point((0.5, 0.5)), None])
    rows = []
    for recorded in timeline.predictions:
        point = recorded.prediction.grasp_point
        now = a_prediction(None if point is None else change(point))
        rows.append(ReplayedPrediction(recorded, now))
    return Replay(timeline, tuple(rows), 0, 1.0)


def test_the_replay_page_compares_both_points() -> None:
    def farther(point: GraspPoint) -> GraspPoint:
        return replace(point, camera_delta=point.camera_delta + np.array([0, 0, 0.03]))

    page = build_replay_report({"p": a_replay(farther)}).html()
    assert "Grasp points, p" in page
    assert "z +12.3 ±2.1 cm" in page and "z +15.3 ±2.1 cm" in page
    assert "0.03" in page
    replay = a_replay(farther)
    bare = Replay(replay.timeline, replay.rows[2:], 0, 1.0)
    assert "Grasp points" not in build_replay_report({"p": bare}).html()
