"""A rollout that fails because the sign was covered says so on its page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vinn.cli.main import run
from vinn.demos.frames import decode_jpeg, encode_jpeg
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.errors import ConfigError
from vinn.evaluation.recorded_trials import record_trial, recordings_folder
from vinn.evaluation.trials import StopAt, TrialResult
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.embedding import EmbeddedDataset
from vinn.policies.build import build_policy
from vinn.policies.memory import ActionMemory
from vinn.policies.novelty import NoveltyMeasure
from vinn.policies.types import Neighbor, Prediction
from vinn.recordings.replay import SAME_ACTION, replay_recording
from vinn.recordings.rollout_findings import findings, neighbor_progress
from vinn.recordings.scrubber import neighbor_jumps
from vinn.recordings.tracks import RolloutTracks, load_tracks
from vinn.rollout.reader import summarize_recording
from vinn.sim.cabinets import CABINETS
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld
from vinn.viz.timeline import RecordedPrediction, RolloutTimeline, load_timeline

from measure.novelty.measures import area_under_curve
from measure.novelty.views import Cover, covered, paired_views

SEED = 5000


@pytest.fixture(scope="module")
def policy_dir(
    door_demonstrations: Path, door_policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The door policy, its novelty measured by the subspace."""
    artefact = open_artefact(door_policy)
    settings = artefact.settings
    assert settings is not None
    dataset = Dataset.open(door_demonstrations)
    embedded = EmbeddedDataset(np.array(artefact.embeddings), dataset.hash, settings.encoder_hash)
    return build_policy(
        dataset,
        door_policy / "encoder",
        tmp_path_factory.mktemp("explained") / "door",
        settings.k,
        settings.bandwidth,
        embedded=embedded,
        novelty=NoveltyMeasure.SUBSPACE,
    )


@pytest.fixture(scope="module")
def rollouts(
    policy_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Cover, tuple[Path, TrialResult]]]:
    """The same start, once as demonstrated and once with the sign covered."""
    root = tmp_path_factory.mktemp("rollouts")
    policy = open_artefact(policy_dir).policy()
    results = {}
    with DoorWorld(SceneConfig(cabinet=CABINETS["oak"])) as world:
        for cover in (Cover.NONE, Cover.SIGN):
            world.reset(SEED)
            path = root / f"{cover.value}.mcap"
            with covered(world, cover):
                result = record_trial(policy, world, path, policy_dir, stop_at=StopAt.OPENED)
            results[cover] = (path, result)
    yield results


def novelty_of(path: Path) -> np.ndarray:
    return np.array([p.prediction.novelty for p in load_timeline(path).predictions])


@pytest.mark.physics
def test_novelty_rises_when_the_sign_is_covered(
    rollouts: dict[Cover, tuple[Path, TrialResult]],
) -> None:
    plain, sign = novelty_of(rollouts[Cover.NONE][0]), novelty_of(rollouts[Cover.SIGN][0])
    assert rollouts[Cover.NONE][1].opened and not rollouts[Cover.SIGN][1].opened
    assert np.median(plain) < 1 < sign.min()
    assert np.median(sign) > 1.2 * plain.max()


@pytest.mark.physics
def test_the_page_explains_the_failure(
    rollouts: dict[Cover, tuple[Path, TrialResult]], tmp_path: Path
) -> None:
    paths = [str(path) for path, _ in rollouts.values()]
    assert run(["report", *paths, "--out", str(tmp_path)]) == 0
    page = (tmp_path / "sign.html").read_text()
    assert "What stands out" in page and "this scene is unlike the demonstrations" in page
    # How often the nearest demonstration is another one, and every frame's neighbours to look at.
    predictions = load_timeline(rollouts[Cover.SIGN][0]).predictions
    jumps = neighbor_jumps([recorded.prediction for recorded in predictions])
    assert "Neighbours jump" in page and f"{jumps:.0%}" in page
    assert 0.0 < jumps <= 1.0
    assert "unlike the demonstrations: something" not in (tmp_path / "none.html").read_text()


@pytest.mark.physics
def test_a_recorded_trial_replays_to_the_same_actions(
    rollouts: dict[Cover, tuple[Path, TrialResult]], policy_dir: Path
) -> None:
    path, result = rollouts[Cover.NONE]
    summary = replay_recording(path, open_artefact(policy_dir).policy()).summary()
    assert summary.max_action_difference < SAME_ACTION
    assert summary.predictions == len(load_timeline(path).predictions) >= result.steps
    assert len(load_tracks(path).steps) == result.steps


@pytest.mark.physics
def test_everything_covered_and_another_cabinet_are_told_from_held_out_views(
    policy_dir: Path,
) -> None:
    policy = open_artefact(policy_dir).policy()

    def novelty(images: Sequence[np.ndarray]) -> np.ndarray:
        as_seen = [decode_jpeg(encode_jpeg(image), "view") for image in images]
        return np.array([policy.predict(image).novelty for image in as_seen])

    (views,) = paired_views(("oak",), (1001,), covers=(Cover.EVERYTHING,))
    (other,) = paired_views(("sampled-1",), (1001,), covers=())
    plain = novelty(views.frames_rgb[Cover.NONE])
    assert area_under_curve(plain, novelty(views.frames_rgb[Cover.EVERYTHING])) >= 0.9
    assert area_under_curve(plain, novelty(other.frames_rgb[Cover.NONE])) >= 0.9


@pytest.mark.physics
def test_the_command_records_each_trial_for_the_report(policy_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text("max_steps: 3\n")
    folder, result = tmp_path / "new" / "trials", tmp_path / "result.json"
    command = ["eval", "closed-loop", "--policy", str(policy_dir), "--cabinets", "oak,sampled-3"]
    command += ["--trials", "2", "--rollout", str(tmp_path / "limits.yaml")]
    command += ["--recordings", str(folder)]
    assert run([*command, "--out", str(result)]) == 0
    names = ["oak-000", "oak-001", "sampled-3-000", "sampled-3-001"]
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.mcap" for name in names]
    trials = json.loads(result.read_text())["trials"]
    for name, trial in zip(names, trials, strict=True):
        summary = summarize_recording(folder / f"{name}.mcap")
        assert summary.outcome is not None and summary.closed
        assert int(summary.outcome["steps"]) == trial["steps"] == 3
        assert summary.ended_by == trial["reason"] == "STEP_LIMIT"
    assert run(["report", "pages", str(folder), "--out", str(tmp_path / "pages")]) == 0
    assert {path.stem for path in (tmp_path / "pages").glob("*.html")} == {"index", *names}


def test_a_folder_with_recordings_is_not_mixed_with_others(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "oak-000.mcap").write_bytes(b"kept")
    (tmp_path / "file").write_bytes(b"kept")
    for name, why in (("full", "not empty"), ("file", "exists"), ("file/under", "directory")):
        with pytest.raises(ConfigError, match=f"recordings: .*{name}: (?i:.*{why})"):
            recordings_folder(tmp_path / name)
    assert (tmp_path / "full" / "oak-000.mcap").read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_area_under_curve_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    plain, novel = rng.integers(0, 6, 40) / 5.0, rng.integers(1, 8, 30) / 5.0
    pairs = [(n > p) + 0.5 * (n == p) for n in novel for p in plain]
    assert area_under_curve(plain, novel) == pytest.approx(np.mean(pairs))
    with pytest.raises(ConfigError, match="0 novel"):
        area_under_curve(plain, novel[:0])


@pytest.mark.physics
def test_covers_show_and_come_off_again() -> None:
    (views,) = paired_views(("oak",), (3,), covers=(Cover.SIGN, Cover.EVERYTHING))
    assert views.shows(Cover.EVERYTHING).all()
    assert views.shows(Cover.SIGN).mean() > 0.5
    assert not views.shows(Cover.NONE).any()  # plain frames stay plain after a cover came off
    with DoorWorld(SceneConfig()) as world:
        before = world.model.geom_rgba.copy(), world.model.geom_matid.copy()
        with covered(world, Cover.EVERYTHING):
            assert (world.model.geom_matid != before[1]).any()
        np.testing.assert_array_equal(world.model.geom_rgba, before[0])
        np.testing.assert_array_equal(world.model.geom_matid, before[1])


def a_memory() -> ActionMemory:
    """Two demonstrations of 11 frames."""
    return ActionMemory(
        camera_delta=np.zeros((22, 3), np.float32),
        gripper=np.zeros(22, np.int8),
        demonstration_ids=np.repeat([0, 1], 11),
        frames=np.tile(np.arange(11, dtype=np.int32), 2),
        names=("a", "b"),
        action_scale=ActionScale.METRIC,
    )


def said(rows: list[int], novelty: float = 0.5, gripper: float = 0.0) -> Prediction:
    neighbors = tuple(
        Neighbor("a", row % 11, row, 1.0, 1 / len(rows), np.zeros(3, np.float32), 0) for row in rows
    )
    return Prediction(np.zeros(3), gripper, np.eye(4)[0], ActionScale.METRIC, neighbors, novelty)


def titles(predictions: list[Prediction], **tracks: Any) -> str:
    timeline = RolloutTimeline(Path("a.mcap"))
    timeline.predictions = [
        RecordedPrediction(i * 10**9, i * 10**9, i, p, 0.0) for i, p in enumerate(predictions)
    ]
    return "; ".join(f.title for f in findings(timeline, RolloutTracks(**tracks), a_memory()))


def test_progress_is_the_weighted_place_in_the_demonstrations() -> None:
    place, spread = neighbor_progress([said([5, 16]), said([0, 21]), said([40])], a_memory())
    np.testing.assert_allclose(place[:2], [0.5, 0.5])
    np.testing.assert_allclose(spread[:2], [0.0, 0.5])
    assert math.isnan(place[2])  # a frame that this memory does not have


def test_each_finding_needs_its_reason() -> None:
    smooth = [said([i, 11 + i]) for i in range(11)]
    assert titles(smooth) == ""
    assert titles([]) == "No prediction"
    assert "Novel views: 2 of 11 frames" in titles([*smooth[:9], said([9], 1.2), said([10], 1.5)])
    assert "Neighbours disagree in 100%" in titles([said([0, 10])] * 4)
    assert "No progress since 4.0 s" in titles([*smooth[:4], *[said([4])] * 10])
    assert "No progress" not in titles([*smooth, *[said([10])] * 10])  # it has arrived
    hover = [said([i], gripper=1.5) for i in range(11)]
    assert "hovers in 100%" in titles(hover, close_above=2.0, open_below=1.0)
    assert "hovers" not in titles(smooth, close_above=2.0, open_below=1.0)
