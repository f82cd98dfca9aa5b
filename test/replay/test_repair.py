"""Recordings that were cut off: repaired, listed, guarded against full disks; labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_rollout import IMAGES, WRIST, record_rollout
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from vinn.cli.main import run
from vinn.errors import DatasetError
from vinn.rollout.label import RolloutLabel, label_path, read_label, write_label
from vinn.rollout.messages import definition, serialize
from vinn.rollout.reader import has_footer, read_recording, summarize_recording
from vinn.rollout.recorder import RolloutRecorder
from vinn.rollout.recordings import find_recordings
from vinn.rollout.repair import repair_recording


@pytest.fixture(params=[0.15, 0.3, 0.62])
def cut(square_policy: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """What a killed process leaves: some of the bytes."""
    left = record_rollout(tmp_path / "a.mcap", square_policy / "policy", close=False)
    data = left.read_bytes()
    left.unlink()
    path = tmp_path / "cut.mcap.partial"
    path.write_bytes(data[: int(request.param * len(data))])
    return path


def test_a_repaired_recording_holds_every_whole_message_and_has_an_index(cut: Path) -> None:
    before = [(m.topic, m.stamp_ns, m.type_name) for m in read_recording(cut)]
    assert before and not has_footer(cut)
    done = repair_recording(cut)
    assert (done.messages, done.already_whole) == (len(before), False)
    assert done.path.name == "cut.mcap" and has_footer(done.path) and not cut.exists()
    assert [(m.topic, m.stamp_ns, m.type_name) for m in read_recording(done.path)] == before
    with Reader(done.path) as reader:
        assert reader.message_count == len(before)
        assert sum(1 for _ in reader.messages()) == len(before)
    summary = summarize_recording(done.path)
    assert summary.outcome is None and summary.info["session"] == "a"
    assert repair_recording(done.path).already_whole


def test_the_cut_file_can_be_kept_and_nothing_is_overwritten(cut: Path) -> None:
    repair_recording(cut, keep=True)
    assert cut.exists()
    with pytest.raises(DatasetError, match=r"cut\.mcap: exists already"):
        repair_recording(cut)


def test_what_holds_nothing_is_refused_and_left_alone(rollout: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.mcap.partial"
    path.write_bytes(rollout.read_bytes()[:40])
    with pytest.raises(DatasetError, match="no whole message"):
        repair_recording(path)
    noise = tmp_path / "noise.mcap"
    noise.write_bytes(b"no recording at all")
    with pytest.raises(DatasetError, match="not a recording"):
        repair_recording(noise)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["noise.mcap", "short.mcap.partial"]


def test_recording_ends_before_the_disk_is_full(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="MiB free on the disk; allowed: at least"):
        RolloutRecorder(tmp_path / "r.mcap", min_free_bytes=2**62)
    assert list(tmp_path.iterdir()) == []
    with RolloutRecorder(tmp_path / "r.mcap", min_free_bytes=0) as recorder:
        recorder._min_free_bytes = 2**62  # as if others had filled the disk meanwhile
        text = serialize("std_msgs/msg/String", {"data": "x" * 2**20})
        for i in range(20):
            recorder.write("note", "std_msgs/msg/String", text, i)
        assert recorder.error is not None and "free on the disk" in recorder.error
        assert recorder.close({"reason": "SUCCESS"}).name == "r.mcap.partial"
    counts = summarize_recording(tmp_path / "r.mcap.partial").message_counts
    assert 1 <= counts["note"] < 20


def test_parameters_are_kept(rollout: Path, square_policy: Path) -> None:
    parameters = summarize_recording(rollout).parameters
    assert parameters == {"vinn_policy.policy": str(square_policy / "policy")}


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_bags_of_ros2_bag_record_are_read_alike(
    rollout: Path, tmp_path: Path, storage: StoragePlugin
) -> None:
    bag = tmp_path / "bag"
    with Reader(rollout) as reader, Writer(bag, version=9, storage_plugin=storage) as writer:
        connections = {
            c.topic: writer.add_connection(
                c.topic, c.msgtype, msgdef=definition(c.msgtype), rihs01="0"
            )
            for c in reader.connections
        }
        for connection, stamp_ns, data in reader.messages():
            writer.write(connections[connection.topic], stamp_ns, data)
    ours = [(m.topic, m.type_name) for m in read_recording(rollout)]
    theirs = [(m.topic, m.type_name) for m in read_recording(bag)]
    assert sorted(theirs) == sorted(ours)
    images = [bytes(m.message.data) for m in read_recording(bag, {WRIST})]
    assert images == [bytes(m.message.data) for m in read_recording(rollout, {WRIST})]
    assert summarize_recording(bag).message_counts[WRIST] == IMAGES


def test_labels_go_with_their_recording(rollout: Path, tmp_path: Path) -> None:
    recording = tmp_path / "s1.mcap"
    recording.write_bytes(rollout.read_bytes())
    assert read_label(recording) is None
    label = RolloutLabel("s1", True, "by hand")
    assert write_label(tmp_path, label) == label_path(recording)
    assert read_label(recording) == read_label(tmp_path / "s1.mcap.partial") == label
    label_path(recording).write_text('["no", "label"]')
    with pytest.raises(DatasetError, match=r"s1\.label\.json: not a label"):
        read_label(recording)


def test_recordings_are_found_in_folders(rollout: Path, square_policy: Path, tmp_path) -> None:
    for name in ("b.mcap.partial", "a.mcap", ".hidden.mcap", "a.label.json"):
        (tmp_path / name).write_bytes(b"")
    found = find_recordings([tmp_path, rollout])
    assert [p.name for p in found] == ["a.mcap", "b.mcap.partial", "a.mcap"]
    with pytest.raises(DatasetError, match="holds no recording"):
        find_recordings([square_policy])


def test_commands(square_policy: Path, tmp_path: Path, capsys) -> None:
    recording = record_rollout(tmp_path / "s2.mcap", square_policy / "policy")
    write_label(tmp_path, RolloutLabel("s2", False, "slipped"))
    assert run(["recordings", "info", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["outcome"]["reason"] == "SUCCESS" and row["label"]["note"] == "slipped"
    assert row["message_counts"][WRIST] == IMAGES
    recording.rename(tmp_path / "s2.mcap.partial")
    assert run(["recordings", "repair", str(tmp_path)]) == 0
    assert recording.exists()
    assert run(["recordings", "info", str(tmp_path / "none")]) == 2
    assert "no such recording" in capsys.readouterr().err
