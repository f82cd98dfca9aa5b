"""A rollout as a Rerun recording: what is in it, read back by Rerun itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from recorded_rollout import record_rollout
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.policies.build import build_policy
from vinn.viz.timeline import load_timeline


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rerun")
    write_tiny_encoder(root / "encoder")
    policy = build_policy(
        write_square_demos(root / "demos", 3), root / "encoder", root / "policy", k=4
    )
    return record_rollout(root / "run.mcap", policy)


def test_report_writes_a_recording_that_rerun_reads(recording: Path, tmp_path: Path) -> None:
    chunk = pytest.importorskip("rerun.chunk", reason="the extra 'rerun' is not installed")
    assert run(["report", str(recording), "--out", str(tmp_path), "--rerun"]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"index.html", "run.html", "run.rrd"}
    rows: dict[str, int] = {}
    for piece in chunk.RrdReader(tmp_path / "run.rrd").stream():
        rows[piece.entity_path] = rows.get(piece.entity_path, 0) + piece.num_rows
    timeline = load_timeline(recording)
    count = len(timeline.predictions)
    assert rows["/wrist"] == len(timeline.wrist)
    assert rows["/gripper/value"] == rows["/neighbors"] == rows["/neighbors/3"] == count
    assert rows["/wrist/action"] == count - 1  # the first prediction has no image
    assert "/neighbors/4" not in rows  # k is 4


def test_without_the_package_the_extra_is_named(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert run(["report", str(recording), "--out", str(tmp_path), "--rerun"]) == 2
    assert "pip install 'vinn[rerun]'" in capsys.readouterr().err
