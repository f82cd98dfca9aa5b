"""From recordings to numbers, summary and report."""

import math
from dataclasses import replace

import numpy as np
import pytest
from vinn.cli.main import run
from vinn.errors import DatasetError
from vinn.recordings.latency import LatencySummary
from vinn.recordings.rollout_report import build_report, group_rates, summarize
from vinn.recordings.rollout_summary import digest_recording


def test_digest_of_a_recording(record, tmp_path):
    digest = digest_recording(record(steps=3), "vinn", video=tmp_path / "v.mp4")
    assert (digest.cabinet, digest.opened, digest.grasped, digest.fully_opened) == (
        "oak", True, True, False,
    )  # fmt: skip
    assert digest.steps == 3
    assert digest.reason == "SUCCESS"
    assert digest.final_angle_deg == pytest.approx(math.degrees(0.6))
    assert (np.diff(digest.angle_deg[:, 0]) > 0).all()
    assert digest.video.is_file()
    assert digest.poster_rgb.shape == (240, 750, 3)
    # image at 0 ms, step taken on at 30 ms
    np.testing.assert_allclose(digest.stamp_to_command_s, 0.030, atol=1e-6)
    np.testing.assert_allclose(digest.stages_s["encode"], 0.01, atol=1e-6)


def test_a_cut_recording_still_counts(record):
    path = record(steps=4, opens=False, close=False)
    cut = path.with_name("cut.mcap.partial")
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    digest = digest_recording(cut, "vinn")
    assert digest.reason == ""
    assert not digest.opened
    assert 1 <= digest.steps < 4


@pytest.fixture
def digests(record):
    own = [
        digest_recording(record(f"v{i}", opens=i != 1, cabinet=["oak", "white"][i % 2]), "vinn")
        for i in range(4)
    ]
    return [*own, digest_recording(record("c", opens=False), "open loop")]


def test_summary_counts_only_its_policy(digests):
    summary = summarize(digests, "vinn")
    assert (summary["trials"], summary["successes"], summary["steps"]) == (4, 3, 12)
    assert summary["wilson_low"] < 0.75 < summary["wilson_high"]
    assert summary["by_cabinet"] == {
        "oak": {"trials": 2, "successes": 2},
        "white": {"trials": 2, "successes": 1},
    }
    assert summary["latency_ms"]["stamp_to_command"] == {
        "median": 30.0, "p95": 30.0, "p99": 30.0, "count": 12,
    }  # fmt: skip
    assert summarize(digests, "open loop")["successes"] == 0


def test_report_shows_policy_and_control(digests):
    page = build_report("t", "s", digests, "vinn", {"k": "5"}, {"rollouts": 60.0}).html()
    assert "3 / 4" in page
    assert "0 / 1" in page
    assert "By open loop" in page
    assert "1.0 min" in page
    assert page.count("<svg") == 3


def test_groups_tell_conditions_and_attempts_apart(digests):
    """One table has every policy in every condition, with retries and at the first attempt."""
    conditions = ["easy", "hard", "hard", "easy", "hard"]
    attempts = [1, 3, 2, 1, 0]
    digests = [
        replace(digest, condition=condition, attempts=count)
        for digest, condition, count in zip(digests, conditions, attempts, strict=True)
    ]
    groups = {(g.policy, g.condition): g for g in group_rates(digests)}
    assert list(groups) == [("vinn", "easy"), ("vinn", "hard"), ("open loop", "hard")]
    easy, hard = groups["vinn", "easy"], groups["vinn", "hard"]
    assert (easy.opened.successes, easy.first_attempt.successes, easy.opened.trials) == (2, 2, 2)
    assert (hard.opened.successes, hard.first_attempt.successes, hard.opened.trials) == (1, 0, 2)
    assert hard.as_json()["opened"]["successes"] == 1
    page = build_report("t", "s", digests, "vinn", {}).html()
    assert "Doors opened, easy" in page
    assert "Doors opened, hard" in page
    for group in groups.values():
        assert str(group.opened) in page
        assert str(group.first_attempt) in page


def test_attempts_that_are_not_known_are_no_first_attempts(digests):
    digests = [replace(digest, attempts=None) for digest in digests]
    assert all(group.first_attempt is None for group in group_rates(digests))
    assert group_rates(digests)[0].as_json()["first_attempt"] is None
    build_report("t", "s", digests, "vinn", {}).html()


def test_no_rollout_of_the_policy_is_refused(digests):
    with pytest.raises(DatasetError, match="other"):
        summarize(digests, "other")
    with pytest.raises(DatasetError, match="other"):
        build_report("t", "s", digests, "other", {})


def test_latencies_without_samples_are_nan():
    summary = LatencySummary.of([float("nan")])
    assert summary.count == 0
    assert math.isnan(summary.median_ms)


def test_report_command(record, tmp_path, capsys):
    record("a")
    record("b", opens=False)
    out = tmp_path / "out" / "report.html"
    assert run(["report", "rollouts", str(tmp_path), "--out", str(out)]) == 0
    assert out.read_text().count("data:video/mp4") == 2
    assert {p.name for p in (out.parent / "videos").iterdir()} == {"a.mp4", "b.mp4"}


def test_report_command_without_recordings(tmp_path, capsys):
    assert run(["report", "rollouts", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 2
    assert "holds no recording" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()
