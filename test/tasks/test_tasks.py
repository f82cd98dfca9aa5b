from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vinn.demos.store import Dataset, validate_dataset, write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import ConfigError, DatasetError
from vinn.tasks import recording
from vinn.tasks.data import first_demonstrations, open_task, task_of_datasets, unit_actions
from vinn.tasks.recording import record_task
from vinn.tasks.registry import TASKS, task_settings
from vinn.tasks.types import Episode, Task, TaskSettings

CONFIG_DIR = Path(__file__).parents[2] / "config" / "tasks"


class FakeRecorder:
    """Two random frames an episode; fails where it is told to."""

    def __init__(self, settings: TaskSettings, failing: set[int], seen: list[int]) -> None:
        self._side_px, self._failing, self._seen = settings.image_px, failing, seen

    def episode(self, seed: int) -> Episode | None:
        self._seen.append(seed)
        if seed in self._failing:
            return None
        rng = np.random.default_rng(seed)
        return Episode(
            tuple(rng.integers(0, 256, (2, self._side_px, self._side_px, 3), dtype=np.uint8)),
            np.array([[0.03, 0.0, 0.04], [0.0, 0.0, 0.0]], np.float32),
            np.array([0, 3], np.int8),
            {"kind": "fake"},
        )

    def close(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> tuple[set[int], list[int]]:
    failing: set[int] = set()
    seen: list[int] = []
    task = Task(
        "pushing", "Fake", "", "Pushing", "", lambda settings: FakeRecorder(settings, failing, seen)
    )
    monkeypatch.setattr(recording, "task_named", lambda name: task)
    return failing, seen


def test_splits_share_no_episode_and_actions_become_unit_vectors(
    fake: tuple[set[int], list[int]], tmp_path: Path
) -> None:
    settings = task_settings("pushing", train=3, test=2, pool=2, image_px=32)
    report = record_task(settings, tmp_path)
    assert (report.recorded, report.failed) == (7, 0)
    assert len(set(fake[1])) == 7
    data = open_task(tmp_path, "pushing")
    assert (len(data.train), len(data.test), len(data.pool)) == (3, 2, 5)
    assert data.train.action_scale is ActionScale.UNIT
    np.testing.assert_allclose(
        data.train.demonstrations[0].camera_delta, [[0.6, 0, 0.8], [0, 0, 0]], atol=1e-6
    )
    assert validate_dataset(tmp_path / "pushing" / "train").ok


def test_recording_goes_on_where_it_stopped_and_gives_the_same(
    fake: tuple[set[int], list[int]], tmp_path: Path
) -> None:
    record_task(task_settings("pushing", train=4, test=1, image_px=32), tmp_path / "whole")
    fake[1].clear()
    record_task(task_settings("pushing", train=2, test=1, image_px=32), tmp_path / "pieces")
    report = record_task(
        task_settings("pushing", train=4, test=1, image_px=32), tmp_path / "pieces"
    )
    assert report.recorded == 2
    whole, pieces = (
        Dataset.open(tmp_path / name / "pushing" / "train") for name in ("whole", "pieces")
    )
    assert whole.hash == pieces.hash


def test_other_settings_are_refused_in_the_same_folder(
    fake: tuple[set[int], list[int]], tmp_path: Path
) -> None:
    record_task(task_settings("pushing", train=1, test=1, image_px=32), tmp_path)
    with pytest.raises(ConfigError, match="image_px"):
        record_task(task_settings("pushing", train=1, test=1, image_px=48), tmp_path)


def test_failures_are_counted_and_left_out(
    fake: tuple[set[int], list[int]], tmp_path: Path
) -> None:
    fake[0].update({0, 1})
    report = record_task(task_settings("pushing", train=2, test=1, image_px=32), tmp_path)
    assert (report.recorded, report.failed) == (3, 2)
    first = Dataset.open(tmp_path / "pushing" / "train").demonstrations[0]
    assert first.meta.provenance["seed"] == 2
    fake[0].update(range(1_000_000))
    with pytest.raises(DatasetError, match="failed"):
        record_task(task_settings("pushing", train=3, test=1, image_px=32), tmp_path)


def test_smaller_draws_are_part_of_larger_ones(
    fake: tuple[set[int], list[int]], tmp_path: Path
) -> None:
    record_task(task_settings("pushing", train=6, test=1, image_px=32), tmp_path)
    train = open_task(tmp_path, "pushing").train
    names = [
        {d.meta.name for d in first_demonstrations(train, count, seed=1).demonstrations}
        for count in (2, 4, 6)
    ]
    assert names[0] < names[1] < names[2]
    with pytest.raises(DatasetError, match="7"):
        first_demonstrations(train, 7, seed=1)


def test_a_demonstration_in_both_parts_is_refused(tmp_path: Path) -> None:
    for part, name in (("train", "a"), ("test", "b")):
        rng = np.random.default_rng(0)
        meta = DemonstrationMeta(
            name=name, task="x", camera=CameraInfo(name="c", width_px=16, height_px=16)
        )
        frames = list(rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
        write_demonstration(
            tmp_path / part, meta, frames, np.full((2, 3), 0.5, np.float32), np.zeros(2, np.int8)
        )
    train, test = Dataset.open(tmp_path / "train"), Dataset.open(tmp_path / "test")
    with pytest.raises(DatasetError, match="must differ"):
        task_of_datasets("x", train, test)
    unit = unit_actions(train)
    assert unit_actions(unit).hash == unit.hash != train.hash


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_has_a_valid_settings_file(name: str) -> None:
    settings = task_settings(name, CONFIG_DIR / f"{name}.yaml")
    assert (settings.train, settings.test) == (71, 21)


def test_unknown_names_and_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="pushing"):
        task_settings("juggling")
    with pytest.raises(ConfigError, match="train"):
        task_settings("pushing", train=0)
    with pytest.raises(ConfigError, match="door"):
        task_settings("pushing", CONFIG_DIR / "door.yaml")


@pytest.mark.physics
@pytest.mark.parametrize("name", ["pushing", "door-metaworld"])
def test_meta_worlds_experts_act_in_the_cameras_frame(name: str) -> None:
    recorder = TASKS[name].recorder(task_settings(name, image_px=48))
    episode = recorder.episode(3)
    again = recorder.episode(3)
    assert episode is not None and again is not None
    frames = np.array(episode.frames_rgb)
    assert frames.shape[1:] == (48, 48, 3)
    assert len(frames) == len(episode.camera_delta_m) == len(episode.gripper) > 10
    np.testing.assert_array_equal(episode.camera_delta_m, again.camera_delta_m)
    np.testing.assert_array_equal(frames[0], again.frames_rgb[0])
    # Three clipped simulator steps of at most a hundredth of a metre per axis.
    assert np.linalg.norm(episode.camera_delta_m, axis=1).max() <= 3 * 0.01 * np.sqrt(3) + 1e-6
    assert episode.gripper.max() == 3


@pytest.mark.physics
def test_the_goal_marker_can_be_hidden() -> None:
    shown, hidden = (
        TASKS["pushing"].recorder(task_settings("pushing", image_px=64, goal_visible=visible))
        for visible in (True, False)
    )
    first, second = shown.episode(0), hidden.episode(0)
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.camera_delta_m, second.camera_delta_m)

    def green(episode: Episode) -> int:
        frames = np.array(episode.frames_rgb).astype(int)
        return int(((frames[..., 1] > 150) & (frames[..., 0] < 60) & (frames[..., 2] < 60)).sum())

    assert green(first) > 100
    assert green(second) == 0


@pytest.mark.physics
def test_the_door_task_opens_doors() -> None:
    recorder = TASKS["door"].recorder(task_settings("door", image_px=64))
    try:
        episodes = [recorder.episode(seed) for seed in range(3)]
    finally:
        recorder.close()
    shown = [episode for episode in episodes if episode is not None]
    assert shown
    assert all(episode.frames_rgb[0].shape == (64, 64, 3) for episode in shown)
    assert {3} <= {int(state) for episode in shown for state in episode.gripper}


@pytest.mark.physics
def test_the_near_block_is_stacked_and_scenes_differ() -> None:
    recorder = TASKS["stacking"].recorder(task_settings("stacking", image_px=48))
    episodes = [recorder.episode(seed) for seed in range(4)]
    shown = [episode for episode in episodes if episode is not None]
    assert len(shown) >= 3
    again = recorder.episode(0)
    assert again is not None and episodes[0] is not None
    np.testing.assert_array_equal(again.camera_delta_m, episodes[0].camera_delta_m)
    colours = {tuple(episode.frames_rgb[0].mean(axis=(0, 1)).round(-1)) for episode in shown}
    assert len(colours) > 1
    for episode in shown:
        closed = np.flatnonzero(episode.gripper == 3)
        # It closes and opens standing still, carries the block in between, and goes back.
        assert not episode.camera_delta_m[closed[0]].any()
        assert 0 < closed[0] < closed[-1] < len(episode.gripper) - 2
        assert episode.gripper[-1] == 0
        assert episode.camera_delta_m[-1][2] < 0  # backwards in the camera's frame
