"""What is exported is imported again, with everything that it said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.errors import DatasetError
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.lerobot_export import export_lerobot
from vinn.ingest.formats.lerobot_import import read_lerobot
from vinn.ingest.formats.rosbag import BagTopics, export_rosbag, read_rosbag
from vinn.robot.config import CameraMount

TOPICS = BagTopics()


def assert_same(found: Dataset, expected: Dataset, max_pixel_error: float) -> None:
    for own, other in zip(expected.demonstrations, found.demonstrations, strict=True):
        assert own.meta == other.meta
        np.testing.assert_array_equal(own.camera_delta, other.camera_delta)
        np.testing.assert_array_equal(own.gripper, other.gripper)
        for a, b in zip(own.frame_paths, other.frame_paths, strict=True):
            error = np.abs(read_frame(a).astype(float) - read_frame(b))
            assert error.mean() <= max_pixel_error


def test_lerobot_round_trip(dataset: Dataset, tmp_path: Path) -> None:
    export_lerobot(dataset, tmp_path / "lerobot")
    assert write_imported(read_lerobot(tmp_path / "lerobot", None, None), tmp_path / "back") == 2
    # H.264 at 4:2:0 and a second JPEG.
    assert_same(Dataset.open(tmp_path / "back"), dataset, max_pixel_error=4.0)


def test_lerobot_without_our_notes_keeps_actions_and_tasks(
    dataset: Dataset, tmp_path: Path
) -> None:
    export_lerobot(dataset, tmp_path / "lerobot")
    (tmp_path / "lerobot/meta/vinn.json").unlink()
    with pytest.raises(DatasetError, match="--gripper-order"):
        write_imported(read_lerobot(tmp_path / "lerobot", None, None), tmp_path / "back")
    found = list(read_lerobot(tmp_path / "lerobot", None, GripperOrder.OPEN_LOW))
    for own, other in zip(dataset.demonstrations, found, strict=True):
        assert other.meta.task == own.meta.task
        assert other.meta.frame_rate_hz == own.meta.frame_rate_hz
        np.testing.assert_allclose(other.camera_delta, own.camera_delta, atol=1e-7)
        assert len(list(other.frames_rgb)) == len(own)


def test_lerobot_metadata_adds_up(dataset: Dataset, tmp_path: Path) -> None:
    root = tmp_path / "lerobot"
    export_lerobot(dataset, root)
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 8, 2)
    stats = json.loads((root / "meta/stats.json").read_text())
    actions = np.concatenate([d.camera_delta for d in dataset.demonstrations])
    np.testing.assert_allclose(stats["action"]["mean"][:3], actions.mean(0), atol=1e-6)
    assert np.shape(stats["observation.images.wrist"]["mean"]) == (3, 1, 1)


def test_lerobot_statistics_are_those_of_the_frames(dataset: Dataset, tmp_path: Path) -> None:
    """Quantiles too, for every episode and feature: lerobot 0.6 joins them by the first's names."""
    root = tmp_path / "lerobot"
    export_lerobot(dataset, root)
    overall = json.loads((root / "meta/stats.json").read_text())
    episodes = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    names = {f"stats/{feature}/{kind}" for feature in overall for kind in overall[feature]}
    camera = "observation.images.wrist"
    parts = [(d,) for d in dataset.demonstrations]
    for stats, demonstrations in (
        *zip(map(nested, episodes), parts, strict=True),
        (overall, dataset.demonstrations),
    ):
        assert names == {f"stats/{f}/{k}" for f in stats for k in stats[f]}
        actions = np.concatenate([d.camera_delta for d in demonstrations])
        pixels = np.concatenate([read_frame(p) for d in demonstrations for p in d.frame_paths])
        for kind, expected in (
            *((f"q{int(100 * q):02d}", q) for q in (0.01, 0.1, 0.5, 0.9, 0.99)),
            ("min", 0.0),
            ("max", 1.0),
        ):
            exact = np.quantile(actions, expected, axis=0)
            np.testing.assert_allclose(stats["action"][kind][:3], exact, atol=1e-6)
            level = np.quantile(pixels.reshape(-1, 3), expected, axis=0, method="inverted_cdf")
            np.testing.assert_allclose(np.ravel(stats[camera][kind]) * 255, level, atol=1e-6)
        for kind, expected in (("mean", np.mean), ("std", np.std)):
            value = expected(pixels.reshape(-1, 3) / 255, axis=0)
            np.testing.assert_allclose(np.ravel(stats[camera][kind]), value, atol=1e-9)
            assert np.shape(stats[camera][kind]) == (3, 1, 1)
        assert stats[camera]["count"] == stats["action"]["count"] == [len(actions)]


def nested(row: dict) -> dict:
    """The statistics in a row of `meta/episodes`, by feature and kind."""
    found: dict = {}
    for name, value in row.items():
        if name.startswith("stats/"):
            _, feature, kind = name.split("/")
            found.setdefault(feature, {})[kind] = value
    return found


def test_what_lerobot_adds_to_an_export_is_imported_with_it(
    dataset: Dataset, tmp_path: Path
) -> None:
    """The added episode is not this project's: its gripper's direction has to be said."""
    root = tmp_path / "lerobot"
    export_lerobot(dataset, root)
    notes = json.loads((root / "meta/vinn.json").read_text())
    notes["demonstrations"] = notes["demonstrations"][:1]
    (root / "meta/vinn.json").write_text(json.dumps(notes))
    with pytest.raises(DatasetError, match="episode 1: say the gripper's direction"):
        write_imported(read_lerobot(root, None, None), tmp_path / "back")
    first, second = read_lerobot(root, None, GripperOrder.OPEN_LOW)
    assert first.meta == dataset.demonstrations[0].meta
    assert second.meta.name == "episode-000001"
    np.testing.assert_array_equal(first.gripper, dataset.demonstrations[0].gripper)


def test_rosbag_round_trip_is_exact(dataset: Dataset, tmp_path: Path) -> None:
    export_rosbag(dataset, tmp_path / "bags")
    found = read_rosbag(tmp_path / "bags", "x", TOPICS, 1.0, GripperOrder.OPEN_LOW, CameraMount())
    assert write_imported(found, tmp_path / "back") == 2
    back = Dataset.open(tmp_path / "back")
    assert_same(back, dataset, max_pixel_error=0.0)
    # The JPEG files themselves are the same.
    assert back.hash == dataset.hash
