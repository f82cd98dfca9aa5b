"""Rollouts as others recorded them: kinds of bags, namespaces, raw images, clocks that were set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bags import KINDS, RAW, SECOND, Said, write_mcap
from recorded_rollout import IMAGES, WRIST
from vinn.cli.main import run
from vinn.demos.frames import decode_jpeg
from vinn.errors import DatasetError
from vinn.policies.artefact import load_policy
from vinn.recordings.replay import SAME_ACTION, replay_recording
from vinn.recordings.rollout_demonstration import add_rollout
from vinn.recordings.tracks import load_tracks
from vinn.robot.config import CameraMount
from vinn.rollout.label import RolloutLabel, write_label
from vinn.rollout.messages import header_fields
from vinn.rollout.storage.stored import StoredMessage, stored_records
from vinn.viz.timeline import load_timeline


@pytest.fixture(scope="module")
def said(rollout: Path) -> list[Said]:
    """What a rollout recorded."""
    return [
        Said(r.topic, r.type.name, r.data, r.recorded_ns)
        for r in stored_records(rollout)
        if isinstance(r, StoredMessage)
    ]


def in_namespace(said: Sequence[Said], name: str) -> list[Said]:
    return [replace(s, topic=f"/{name}{s.topic}") for s in said]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bag_is_replayed_and_shown(
    kind: str, said: list[Said], square_policy: Path, tmp_path: Path, capsys
) -> None:
    bag = KINDS[kind](tmp_path / "bag", said)
    policy = square_policy / "policy"
    replay = replay_recording(bag, load_policy(policy))
    assert len(replay.rows) == IMAGES - 1
    assert replay.summary().max_action_difference <= SAME_ACTION
    assert len(load_tracks(bag).steps) == IMAGES
    out = tmp_path / "pages"
    assert run(["report", str(bag), "--out", str(out), "--policy", str(policy)]) == 0
    assert capsys.readouterr().out.split() == [str(out / "index.html")]
    assert sorted(p.suffix for p in out.iterdir()) == [".html", ".html"]


def test_a_namespace_changes_nothing_and_two_robots_are_refused(
    said: list[Said], square_policy: Path, tmp_path: Path
) -> None:
    left = write_mcap(tmp_path / "left.mcap", in_namespace(said, "left"))
    plain = write_mcap(tmp_path / "plain.mcap", said)
    ours, theirs = load_timeline(plain), load_timeline(left)
    assert [p.sequence for _, p in ours.steps_with_predictions()] == [
        p.sequence for _, p in theirs.steps_with_predictions()
    ]
    assert len(load_tracks(left).joints) == len(load_tracks(plain).joints) == 2
    both = [
        s
        for pair in zip(in_namespace(said, "a"), in_namespace(said, "b"), strict=True)
        for s in pair
    ]
    with pytest.raises(DatasetError, match="recorded in several namespaces"):
        load_timeline(write_mcap(tmp_path / "both.mcap", both))


@pytest.mark.parametrize("padding", [0, 64])
def test_raw_images_are_replayed(
    said: list[Said], square_policy: Path, tmp_path: Path, padding: int
) -> None:
    """Of a recording with image_transport raw; where both are there, the compressed ones count."""
    messages = []
    for image, each in zip(load_timeline(write_mcap(tmp_path / "j.mcap", said)).wrist,
                           [s for s in said if s.topic == WRIST], strict=True):  # fmt: skip
        rgb = decode_jpeg(image.jpeg, "image")
        rows = np.zeros((rgb.shape[0], rgb.shape[1] * 3 + padding), np.uint8)
        rows[:, : rgb.shape[1] * 3] = rgb.reshape(rgb.shape[0], -1)
        fields = {
            "header": header_fields(image.stamp_ns), "height": rgb.shape[0], "width": rgb.shape[1],
            "encoding": "rgb8", "step": rows.shape[1], "data": rows.reshape(-1),
        }  # fmt: skip
        messages.append(Said(WRIST.removesuffix("/compressed"), RAW, fields, each.recorded_ns))
    others = [s for s in said if s.topic != WRIST]
    path = write_mcap(
        tmp_path / "raw.mcap", sorted([*messages, *others], key=lambda s: s.recorded_ns)
    )
    policy = load_policy(square_policy / "policy")
    assert replay_recording(path, policy).summary().max_action_difference <= SAME_ACTION
    assert load_timeline(path).wrist[0].jpeg.startswith(b"\xff\xd8")
    with_both = sorted([*messages, *said], key=lambda s: s.recorded_ns)
    assert len(load_timeline(write_mcap(tmp_path / "both.mcap", with_both)).wrist) == IMAGES


def set_back(said: Sequence[Said], at: int, by_s: float) -> list[Said]:
    by_ns = round(by_s * SECOND)
    return [
        replace(s, recorded_ns=s.recorded_ns + (by_ns if i >= at else 0))
        for i, s in enumerate(said)
    ]


@pytest.mark.parametrize("by_s", [-3600.0, -1.5, 7200.0, 1e9])
def test_a_clock_set_in_a_rollout_is_named_and_steps_keep_their_predictions(
    by_s: float, said: list[Said], square_policy: Path, tmp_path: Path, capsys
) -> None:
    plain = write_mcap(tmp_path / "plain.mcap", said)
    path = write_mcap(tmp_path / "set.mcap", set_back(said, len(said) // 2, by_s))
    before, after = load_timeline(plain), load_timeline(path)
    assert [(s.sequence, p.sequence) for s, p in after.steps_with_predictions()] == [
        (s.sequence, p.sequence) for s, p in before.steps_with_predictions()
    ]
    assert len(after.jumps) >= 1 and before.jumps == []
    assert after.end_ns - after.start_ns == pytest.approx(
        before.end_ns - before.start_ns, abs=0.3 * SECOND
    )
    policy = str(square_policy / "policy")
    assert run(["replay", str(path), "--policy", policy]) == 0
    assert "the recorder's clock jumps by" in capsys.readouterr().err
    assert run(["report", str(path), "--out", str(tmp_path / "pages")]) == 0
    assert "The clock was set" in (tmp_path / "pages" / "set.html").read_text()
    write_label(tmp_path, RolloutLabel("set", True))
    with pytest.raises(DatasetError, match=r"clock jumps by .*; allowed: no jump, or --force"):
        add_rollout(path, tmp_path / "demos", CameraMount())
    assert add_rollout(path, tmp_path / "demos", CameraMount(), force=True).is_dir()


def test_before_the_first_rollout_there_are_none_yet(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["recordings", "info", "runs/rollouts"]) == 0
    assert "no rollout has been recorded yet" in capsys.readouterr().err
    assert run(["recordings", "info", "runs/rollouts", "--json"]) == 0
    assert capsys.readouterr().out.strip() == "[]"
    (tmp_path / "runs/rollouts").mkdir(parents=True)
    assert run(["recordings", "info", "runs/rollouts"]) == 0
    assert "holds no recording" in capsys.readouterr().err
    assert run(["recordings", "info", "runs/rolouts"]) == 2
    assert "no such recording" in capsys.readouterr().err
    for command in (["report", "runs/rollouts"], ["recordings", "repair", "runs/rollouts"]):
        assert run(command) == 2


def test_report_says_where_the_rerun_recording_is(rollout: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("rerun")
    assert run(["report", str(rollout), "--rerun", "--out", str(tmp_path / "pages")]) == 0
    lines = capsys.readouterr().out.split()
    assert lines == [str(tmp_path / "pages" / "index.html"), str(tmp_path / "pages" / "a.rrd")]
    assert Path(lines[1]).stat().st_size > 1000
