"""Every action of a LeRobot dataset keeps its own picture, or the import refuses."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from lerobot_sets import KEY, SIZE, LeRobotSet, cells, number_of, offsets, picture
from vinn.demos.frames import encode_jpeg
from vinn.demos.store import Dataset
from vinn.errors import DatasetError
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.lerobot_import import read_lerobot

CODECS = {
    "h264 closed": ("libx264", {"g": "2"}),
    "h264 open": ("libx264", {"g": "9", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}),
    "hevc open": ("libx265", {"g": "2", "x265-params": "log-level=none"}),
    "hevc long": ("libx265", {"g": "12", "x265-params": "open-gop=1:log-level=none"}),
    "mpeg4": ("mpeg4", {"g": "5", "bf": "2", "qmin": "1", "qmax": "2"}),
    "av1": ("libsvtav1", {"g": "2", "preset": "10", "crf": "5"}),
    "one key frame": ("libx264", {"g": "600"}),
}


def some_lengths(seed: int, total: int = 54) -> list[int]:
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(1, total), 4))
    return [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]


def refusal(root: Path) -> str:
    out = root.with_name("out")
    with pytest.raises(DatasetError) as refused:
        write_imported(read_lerobot(root, None, GripperOrder.OPEN_LOW), out)
    assert not out.exists() and "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("fps", [10, 30])
@pytest.mark.parametrize("codec", CODECS)
def test_wherever_the_key_frames_are_pictures_stay_with_their_actions(
    tmp_path: Path, codec: str, fps: int
) -> None:
    name, options = CODECS[codec]
    lengths = some_lengths(fps)
    root = LeRobotSet(lengths, fps, name, options).write(tmp_path / "set")
    assert offsets(root) == [[0] * length for length in lengths]


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_that_is_missing_is_named_by_both_times(tmp_path: Path, seed: int) -> None:
    lengths = some_lengths(seed)
    gap = random.Random(seed).randrange(1, sum(lengths) - 1)
    root = LeRobotSet(lengths, missing=[gap]).write(tmp_path / "set")
    ends = np.cumsum(lengths)
    episode = int(np.searchsorted(ends, gap, side="right"))
    within = gap - int(ends[episode]) + lengths[episode]
    message = refusal(root)
    assert f"episode {episode}: frame {within} is at {gap / 10:.4f} s" in message
    near = {f"nearest picture is at {(gap + step) / 10:.4f} s" for step in (-1, 1)}
    assert any(words in message for words in near), message


@pytest.mark.parametrize("shift_s", [0.02, 0.05, -0.04])
def test_a_start_that_drifted_is_refused(tmp_path: Path, shift_s: float) -> None:
    starts = [0.0, 2.0 + shift_s]
    message = refusal(LeRobotSet([20, 10], starts_s=starts).write(tmp_path / "set"))
    assert f"episode 1: frame 0 is at {starts[1]:.4f} s" in message
    assert "the nearest picture is at" in message


def test_a_start_a_whole_picture_early_shows_what_another_episode_has(tmp_path: Path) -> None:
    root = LeRobotSet([10, 8, 6], starts_s=[0.0, 0.9, 1.8]).write(tmp_path / "set")
    message = refusal(root)
    assert "episode 1: begins at 0.9000 s" in message and "episode 0 ends at 0.9000 s" in message


@pytest.mark.parametrize("shift_s", [0.0005, -0.0005, 1e-6])
def test_rounding_is_no_drift(tmp_path: Path, shift_s: float) -> None:
    root = LeRobotSet([20, 10], starts_s=[0.0, 2.0 + shift_s]).write(tmp_path / "set")
    assert offsets(root) == [[0] * 20, [0] * 10]


@pytest.mark.parametrize("video_fps", [20, 30])
def test_a_video_of_another_rate_than_the_table(tmp_path: Path, video_fps: int) -> None:
    root = LeRobotSet([7, 12], video_fps=video_fps).write(tmp_path / "set")
    assert offsets(root) == [[0] * 7, [0] * 12]


def test_the_rows_own_time_counts_not_their_number(tmp_path: Path) -> None:
    """Rows that were dropped leave their pictures in the video."""
    stamps = np.array([0.0, 0.2, 0.3, 0.6])
    root = LeRobotSet([4], video_fps=10, timestamps=stamps).write(tmp_path / "set")
    long = LeRobotSet([8]).write(tmp_path / "long")
    video = f"videos/{KEY}/chunk-000/file-000.mp4"
    (root / video).write_bytes((long / video).read_bytes())
    (found,) = read_lerobot(root, None, GripperOrder.OPEN_LOW)
    assert [number_of(image) for image in found.frames_rgb] == [0, 2, 3, 6]


@pytest.mark.parametrize("stamps", [[0, 0.1, 0.1, 0.2], [0, 0.2, 0.1, 0.3], [0, 0.1, np.nan, 0.3]])
def test_times_that_do_not_increase_are_refused(tmp_path: Path, stamps: list[float]) -> None:
    message = refusal(LeRobotSet([4], timestamps=stamps).write(tmp_path / "set"))
    assert "episode 0: frame 2: timestamp" in message


def test_pictures_in_the_table_are_imported(tmp_path: Path) -> None:
    root = LeRobotSet([4, 3], table_pictures=cells(7)).write(tmp_path / "set")
    assert offsets(root) == [[0] * 4, [0] * 3]
    count = write_imported(read_lerobot(root, None, GripperOrder.OPEN_LOW), tmp_path / "out")
    assert (count, Dataset.open(tmp_path / "out").frame_count) == (2, 7)


def test_sides_in_the_other_order_are_taken_by_their_names(tmp_path: Path) -> None:
    names = {"shape": [3, *SIZE], "names": ["channels", "height", "width"]}
    root = LeRobotSet([3], table_pictures=cells(3), feature=names).write(tmp_path / "set")
    (found,) = read_lerobot(root, None, GripperOrder.OPEN_LOW)
    assert (found.meta.camera.height_px, found.meta.camera.width_px) == SIZE


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (None, "no picture in the table"),
        ({"bytes": None, "path": "images/x.png"}, "images/x.png"),
        ({"bytes": b"", "path": None}, "frame 2"),
        ({"bytes": encode_jpeg(picture(2))[:200], "path": None}, "frame 2"),
    ],
    ids=["null", "path only", "empty", "truncated"],
)
def test_a_picture_that_the_table_lacks_is_named(tmp_path: Path, cell: object, words: str) -> None:
    pictures = cells(4)
    pictures[2] = cell
    message = refusal(LeRobotSet([4], table_pictures=pictures).write(tmp_path / "set"))
    assert "episode 0: frame 2" in message and words in message


def test_depth_is_no_picture_and_is_named(tmp_path: Path) -> None:
    depth = {"info": {"is_depth_map": True}}
    root = LeRobotSet([3], table_pictures=cells(3), feature=depth).write(tmp_path / "set")
    message = refusal(root)
    assert "it has: none" in message and f"depth, which is no picture: {KEY}" in message


def test_several_tasks_in_one_episode_are_kept_with_their_frames(tmp_path: Path) -> None:
    tasks = [["reach", "reach", "pull", "reach"], ["pull"] * 2]
    root = LeRobotSet([4, 2], tasks=tasks).write(tmp_path / "set")
    first, second = read_lerobot(root, None, GripperOrder.OPEN_LOW)
    assert first.meta.task == "reach; pull"
    assert first.meta.provenance["tasks"] == ["reach", "pull"]
    assert first.meta.provenance["task_of_frame"] == [0, 0, 1, 0]
    assert second.meta.task == "pull" and "tasks" not in second.meta.provenance


def test_without_a_table_of_tasks_the_episodes_own_list_counts(tmp_path: Path) -> None:
    root = LeRobotSet([3], tasks=[["b", "a", "b"]]).write(tmp_path / "set")
    (root / "meta/tasks.parquet").unlink()
    (found,) = read_lerobot(root, None, GripperOrder.OPEN_LOW)
    assert found.meta.task == "a; b" and found.meta.provenance["tasks"] == ["a", "b"]


def test_an_episode_with_rows_missing_is_refused(tmp_path: Path) -> None:
    root = LeRobotSet([4, 5]).write(tmp_path / "set")
    shorter = LeRobotSet([4, 4]).write(tmp_path / "shorter")
    data = "data/chunk-000/file-000.parquet"
    (root / data).write_bytes((shorter / data).read_bytes())
    assert "episode 1: 4 frames in data, 5 in meta/episodes" in refusal(root)
