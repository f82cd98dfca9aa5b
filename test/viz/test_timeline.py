"""Recordings come back as series, steps find their predictions, and videos show them."""

import av
import numpy as np
import pytest
from vinn.errors import DatasetError
from vinn.recordings.rollout_summary import digest_recording
from vinn.recordings.rollout_video import FRAMES_PER_STEP, write_rollout_video
from vinn.rollout.recorder import RolloutRecorder
from vinn.viz.timeline import load_timeline

THUMBNAIL = np.full((32, 32, 3), 99, np.uint8)


def test_series_are_complete_and_in_order(record):
    timeline = load_timeline(record(steps=4))
    assert len(timeline.wrist) == len(timeline.overview) == len(timeline.predictions) == 4
    assert [step.sequence for step in timeline.steps] == [1, 2, 3, 4]
    assert timeline.cabinet == "oak"
    assert [moment.opened for moment in timeline.scene] == [False] * 4 + [True]
    assert timeline.start_ns < timeline.end_ns


def test_prediction_survives(record):
    entry = load_timeline(record(steps=2)).predictions[1]
    np.testing.assert_allclose(entry.prediction.camera_delta, [0.01, 0, 0.02])
    assert entry.prediction.neighbors[1].demonstration == "demo-1"
    assert entry.prediction.neighbors[1].weight == pytest.approx(0.5)
    assert entry.prediction.latency_s["encode"] == pytest.approx(0.01)
    assert entry.prediction.novelty == pytest.approx(0.7)


def test_steps_find_the_prediction_and_image_they_came_from(record):
    timeline = load_timeline(record(steps=3))
    pairs = timeline.steps_with_predictions()
    assert [(step.sequence, entry.sequence) for step, entry in pairs] == [(1, 0), (2, 1), (3, 2)]
    for number, (_, entry) in enumerate(pairs):
        image = timeline.image_of(entry).decode()
        np.testing.assert_allclose(image.mean(axis=(0, 1)), (200, 20 * number, 10), atol=4)


def test_video_has_its_frames_and_poster(record, tmp_path):
    posters = []
    path = write_rollout_video(
        load_timeline(record(steps=3)), tmp_path / "v.mp4", lambda _: THUMBNAIL, "oak",
        posters.append,
    )  # fmt: skip
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == FRAMES_PER_STEP * 4
    assert frames[0].shape == (480, 1500, 3)
    assert len(posters) == 1
    assert posters[0].shape == frames[0].shape
    # the overview's green is in the right part, the query's red in the left
    right, left = frames[2][60:380, 1010:1480], frames[2][30:370, 30:370]
    assert right[..., 1].mean() > right[..., 0].mean() + 50
    assert left[..., 0].mean() > left[..., 1].mean() + 50


def test_policies_without_neighbors_have_videos_too(record, tmp_path):
    def never(index):
        raise AssertionError("no thumbnail is needed")

    timeline = load_timeline(record(neighbors=0))
    assert write_rollout_video(timeline, tmp_path / "v.mp4", never, "t").stat().st_size > 1000


def test_rollouts_that_ended_at_once_have_no_video(tmp_path):
    path = tmp_path / "empty.mcap"
    RolloutRecorder(path).close({"reason": "LATCHED"})
    timeline = load_timeline(path)
    assert (timeline.start_ns, timeline.end_ns, timeline.steps) == (0, 0, [])
    with pytest.raises(DatasetError, match=r"empty\.mcap"):
        write_rollout_video(timeline, tmp_path / "v.mp4", lambda _: THUMBNAIL, "t")
    assert not (tmp_path / "v.mp4").exists()
    digest = digest_recording(path, "vinn", video=tmp_path / "v.mp4")
    assert (digest.video, digest.steps, digest.opened) == (None, 0, False)
    assert digest.reason == "LATCHED"
