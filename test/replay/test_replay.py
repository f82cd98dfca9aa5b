"""Replay: the same artefact says the same, another one something else."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from recorded_rollout import IMAGES
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactMismatchError, DatasetError
from vinn.policies.artefact import load_policy
from vinn.policies.build import build_policy
from vinn.recordings.replay import SAME_ACTION, angle_between, replay_recording
from vinn.rollout.recorder import RolloutRecorder


@pytest.fixture(scope="module")
def other_policy(square_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("other")
    dataset = write_square_demos(root / "demos", 3, seed=9)
    return build_policy(dataset, square_policy / "encoder", root / "other", k=2, bandwidth=0.1)


def test_the_same_artefact_gives_the_same_actions(rollout: Path, square_policy: Path) -> None:
    replay = replay_recording(rollout, load_policy(square_policy / "policy"))
    assert len(replay.rows) == IMAGES - 1 and replay.without_image == 1
    for row in replay.rows:
        np.testing.assert_allclose(
            row.replayed.camera_delta, row.recorded.prediction.camera_delta, atol=1e-6, rtol=0
        )
        assert row.neighbors_changed == 0 and abs(row.gripper_difference) < 1e-6
    summary = replay.summary()
    assert summary.same_actions == summary.predictions == IMAGES - 1
    assert summary.max_action_difference <= SAME_ACTION
    assert summary.speed > 0


def test_several_images_at_a_time_say_what_one_says(
    rollout: Path, square_policy: Path, tmp_path: Path
) -> None:
    policy = load_policy(square_policy / "policy")
    streams = load_encoder(square_policy / "policy" / "encoder", streams=3)
    done: list[tuple[int, int]] = []
    one = replay_recording(rollout, policy)
    three = replay_recording(rollout, policy, lambda *now: done.append(now), streams)
    assert done == [(i + 1, IMAGES - 1) for i in range(IMAGES - 1)]
    for alone, together in zip(one.rows, three.rows, strict=True):
        np.testing.assert_array_equal(alone.replayed.camera_delta, together.replayed.camera_delta)
        assert alone.replayed.neighbors[0].distance == together.replayed.neighbors[0].distance
    stranger = load_encoder(write_tiny_encoder(tmp_path / "stranger", gain=2.0))
    with pytest.raises(ArtefactMismatchError, match="hash"):
        replay_recording(rollout, policy, encoder=stranger)


def test_another_artefact_differs_and_the_difference_is_measured(
    rollout: Path, other_policy: Path
) -> None:
    policy = load_policy(other_policy)
    replay = replay_recording(rollout, policy)
    row = max(replay.rows, key=lambda r: r.action_difference)
    before, now = row.recorded.prediction, row.replayed
    assert row.action_difference > SAME_ACTION
    assert row.length_difference == pytest.approx(
        np.linalg.norm(now.camera_delta) - np.linalg.norm(before.camera_delta)
    )
    assert row.neighbors_changed == 2 - len(
        {(n.demonstration, n.frame) for n in now.neighbors}
        & {(n.demonstration, n.frame) for n in before.neighbors}
    )
    assert replay.summary().same_actions < IMAGES - 1
    assert replay.summary().angle_max_rad > 0.01


def test_angles() -> None:
    x, y = np.array([1.0, 0, 0]), np.array([0, 2.0, 0])
    assert angle_between(x, y) == pytest.approx(math.pi / 2)
    assert angle_between(x, -3 * x) == pytest.approx(math.pi)
    assert angle_between(x, x + 1e-7 * y) == pytest.approx(2e-7, rel=1e-3)
    assert math.isnan(angle_between(x, np.zeros(3)))


def test_a_recording_without_images_is_refused(square_policy: Path, tmp_path: Path) -> None:
    with RolloutRecorder(tmp_path / "e.mcap", min_free_bytes=0) as recorder:
        recorder.write_message(
            "/scene/status", "vinn_msgs/msg/SceneStatus", {"cabinet": "oak"}, 1_000
        )
        recorder.close({"reason": "NONE"})
    with pytest.raises(DatasetError, match="nothing to replay"):
        replay_recording(tmp_path / "e.mcap", load_policy(square_policy / "policy"))


def test_command(rollout: Path, other_policy: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "replay.json"
    arguments = ["replay", str(rollout), "--against", str(other_policy), "--out", str(out)]
    assert run(arguments) == 0  # the policy is the one that the recording names
    policies = json.loads(out.read_text())["policies"]
    assert policies["policy"]["summary"]["same_actions"] == IMAGES - 1
    assert policies["other"]["summary"]["same_actions"] < IMAGES - 1
    assert len(policies["other"]["predictions"]) == IMAGES - 1
    page = tmp_path / "replay.html"
    assert run([*arguments[:-1], str(page)]) == 0
    html = page.read_text()
    assert "Where other differs" in html and "Where policy differs" not in html
    assert "http" not in html.replace("http://www.w3.org", "")


def test_command_names_what_is_missing(
    rollout: Path, square_policy: Path, tmp_path: Path, capsys
) -> None:
    assert run(["replay", str(rollout), "--policy", str(tmp_path / "no")]) == 2
    assert "no such policy artefact" in capsys.readouterr().err
    assert run(["replay", str(rollout), "--out", str(tmp_path / "a.txt")]) == 2
    assert ".html or .json" in capsys.readouterr().err
    nameless = tmp_path / "n.mcap"
    with RolloutRecorder(nameless, min_free_bytes=0) as recorder:
        recorder.close({})
    assert run(["replay", str(nameless)]) == 2
    assert "--policy" in capsys.readouterr().err
    damaged = tmp_path / "d.mcap"
    shutil.copy(rollout, damaged)
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    assert run(["replay", str(damaged), "--policy", str(square_policy / "policy")]) == 2
    assert "d.mcap" in capsys.readouterr().err
