"""The same messages in every kind of recording are the same to everyone who reads recordings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bags import IMAGE, KINDS, POSE, SECOND, START, Said, image, walk, write_bag, write_mcap
from mcap.writer import CompressionType
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from vinn.cli.main import run
from vinn.demos.store import Dataset
from vinn.errors import DatasetError
from vinn.rollout.messages import definition, header_fields
from vinn.rollout.reader import read_recording, summarize_recording
from vinn.rollout.recording_files import is_recording, recording_files
from vinn.rollout.recordings import find_recordings
from vinn.rollout.repair import repair_recording
from vinn.rollout.storage.stored import recorded_types

TIMES = [START + i * SECOND // 10 for i in range(30)]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bag(kind: str, tmp_path: Path) -> Path:
    return KINDS[kind](tmp_path / "bag", walk(TIMES))


def test_reader_and_summary_see_the_same(bag: Path) -> None:
    read = list(read_recording(bag))
    assert [(m.topic, m.stamp_ns) for m in read] == [
        (said.topic, said.recorded_ns) for said in walk(TIMES)
    ]
    poses = [m.message.pose.position.z for m in read if m.topic == POSE]
    np.testing.assert_allclose(poses, 0.01 * np.arange(30), atol=1e-12)
    only = [m.message.header.stamp.nanosec for m in read_recording(bag, {IMAGE})]
    assert only == [t % SECOND for t in TIMES]
    assert recorded_types(bag) == {said.topic: said.type_name for said in walk(TIMES)}
    summary = summarize_recording(bag)
    assert summary.message_counts == {IMAGE: 30, POSE: 30}
    assert (summary.start_ns, summary.duration_s) == (START, pytest.approx(2.9))
    assert summary.jumps == ()


def test_importer_and_commands_take_it(bag: Path, kind: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    arguments = ["--rate", "5", "--pose-topic", POSE, "--out", str(out)]
    assert run(["demos", "import", "rosbag2", str(bag), *arguments]) == 0, capsys.readouterr().err
    (found,) = Dataset.open(out).demonstrations
    np.testing.assert_allclose(found.camera_delta[:, 2], 0.02, atol=1e-6)
    assert len(found.camera_delta) == 14
    capsys.readouterr()
    assert run(["recordings", "info", str(bag), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    left_behind = "killed" in kind or "metadata" in kind
    assert row["ended_by"] == ("its recorder was killed" if left_behind else "no rollout")


def test_a_folder_of_recordings_holds_each_once(bag: Path, kind: str, tmp_path: Path) -> None:
    if kind == "file of another name":
        return  # it has to be named itself
    folder = tmp_path / "folder"
    folder.mkdir()
    target = folder / (bag.name if bag.is_file() else "bag")
    shutil.move(bag, target)
    (folder / ".hidden.mcap").write_bytes(b"")
    (folder / "notes.txt").write_text("nothing")
    assert find_recordings([folder]) == [target] and is_recording(target)


def test_repair_makes_each_whole_for_others(bag: Path, kind: str) -> None:
    before = [(m.topic, m.stamp_ns) for m in read_recording(bag)]
    if kind == "file of another name":
        bag = bag.rename(bag.with_name("named.mcap"))
    done = repair_recording(bag)
    assert done.messages == len(before)
    assert [(m.topic, m.stamp_ns) for m in read_recording(done.path)] == before
    assert summarize_recording(done.path).closed
    again = repair_recording(done.path)
    assert again.already_whole and again.messages == len(before)
    if bag.is_dir():
        from rosbags.rosbag2 import Reader

        with Reader(bag) as reader:
            assert sum(1 for _ in reader.messages()) == len(before)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("old.bag", b"#ROSBAG V2.0\n" + bytes(100), "ROS 1 bag"),
        ("text.mcap", b"hello, this is no recording", "unknown contents"),
        ("empty.db3", b"", "empty or too short"),
        ("broken.db3", b"SQLite format 3\0" + bytes(50), "not a rosbag2 recording"),
        ("broken.mcap.zstd", b"\x28\xb5\x2f\xfd" + b"\x01" * 50, "damaged"),
    ],
)
def test_what_is_no_recording_is_named(name: str, content: bytes, named: str, tmp_path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (lambda: list(read_recording(path)), lambda: summarize_recording(path)):
        with pytest.raises(DatasetError, match=named) as caught:
            read()
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_directories_that_are_no_recording_say_what_is_in_them(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="a directory without a recording"):
        recording_files(empty)
    several = tmp_path / "several"
    for name in ("monday", "tuesday"):
        write_mcap(several / f"{name}.mcap", walk(TIMES[:2]))
    with pytest.raises(DatasetError, match="a folder of 2 recordings"):
        recording_files(several)
    assert [p.name for p in find_recordings([several])] == ["monday.mcap", "tuesday.mcap"]
    gone = write_bag(tmp_path / "gone", walk(TIMES[:2]))
    (gone / "gone.mcap").unlink()
    with pytest.raises(DatasetError, match=r"names 'gone\.mcap', which is not there"):
        list(read_recording(gone))
    (gone / "metadata.yaml").write_text("rosbag2_bagfile_information: [")
    with pytest.raises(DatasetError, match=r"metadata\.yaml: not YAML"):
        list(read_recording(gone))


def test_a_renamed_split_directory_is_still_one_recording(tmp_path: Path) -> None:
    bag = KINDS["split without metadata"](tmp_path / "bag", walk(TIMES))
    moved = bag.rename(tmp_path / "kitchen")
    assert [m.stamp_ns for m in read_recording(moved, {POSE})] == TIMES


def test_a_killed_recorder_is_named_as_such(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "recordings"
    bag = KINDS["killed"](folder / "rosbag2_2026_01_01", walk(TIMES))
    data = (bag / "rosbag2_2026_01_01_0.mcap").read_bytes()
    (bag / "rosbag2_2026_01_01_0.mcap").write_bytes(data[: len(data) * 2 // 3])
    assert run(["recordings", "info", str(folder)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "rosbag2_2026" in shown and "killed" in shown
    assert run(["recordings", "repair", str(folder)]) == 0
    assert "repaired" in capsys.readouterr().out
    assert (bag / "metadata.yaml").is_file() and summarize_recording(bag).closed


# Types


def other_layout(type_name: str, left_out: str) -> str:
    head, separator, rest = definition(type_name).partition("=" * 80)
    lines = [line for line in head.splitlines() if left_out not in line.split("#")[0]]
    return "\n".join(lines) + "\n" + separator + rest


@pytest.mark.parametrize("left_out", ["grasped", "cabinet", "occlusion", "door_angle_rad"])
@pytest.mark.parametrize("directory", [True, False])
def test_messages_are_decoded_by_the_recordings_own_definition(
    left_out: str, directory: bool, tmp_path: Path
) -> None:
    name = "vinn_msgs/msg/SceneStatus"
    text = other_layout(name, left_out)
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register({k: v for k, v in get_types_from_msg(text, name).items() if k == name})
    stamp = store.types["builtin_interfaces/msg/Time"](sec=5, nanosec=6)
    header = store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="x")
    values = {"header": header, "cabinet": "oak", "occlusion": "none", "door_angle_rad": 0.25,
              "grasped": False, "opened": True, "fully_opened": False}  # fmt: skip
    del values[left_out]
    cdr = bytes(store.serialize_cdr(store.types[name](**values), name))
    folder = tmp_path / "old"
    said = Said("/scene/status", name, cdr, START)
    path = write_mcap(folder / "old_0.mcap", [said], texts={name: text})
    (read,) = read_recording(folder if directory else path)
    assert read.message.opened and not hasattr(read.message, left_out)
    assert read.message.header.stamp.sec == 5


def test_types_that_cannot_be_decoded_are_named_when_they_are_wanted(tmp_path: Path) -> None:
    said = [*walk(TIMES[:3]), Said("/odd", "std_msgs/msg/String", {"data": "x"}, TIMES[2])]
    path = write_mcap(tmp_path / "x.mcap", said, texts={"std_msgs/msg/String": "@ no definition"})
    assert len(list(read_recording(path, {IMAGE, POSE}))) == 6
    with pytest.raises(DatasetError, match="std_msgs/msg/String: its definition cannot be read"):
        list(read_recording(path))


# Clocks of two machines


@pytest.mark.parametrize("behind_s", [-3600.0, -0.35, 0.0, 0.35, 7200.0])
def test_the_receivers_clock_counts_in_every_kind(behind_s: float, tmp_path: Path) -> None:
    behind_ns = round(behind_s * SECOND)
    said = walk(TIMES)
    write_bag(tmp_path / "bag", said)
    write_mcap(tmp_path / "bag" / "bag.mcap", said, behind_ns=behind_ns)
    for path in (tmp_path / "bag", tmp_path / "bag" / "bag.mcap"):
        assert [m.stamp_ns for m in read_recording(path, {IMAGE})] == TIMES
        assert summarize_recording(path).duration_s == pytest.approx(2.9)


# Damage


@pytest.mark.parametrize("compression", list(CompressionType))
def test_flipped_bytes_in_foreign_files_are_one_line(compression, tmp_path: Path) -> None:
    data = write_mcap(tmp_path / "x.mcap", walk(TIMES), compression=compression).read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for position in rng.integers(0, len(data), 60):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        (tmp_path / "x.mcap").write_bytes(flipped)
        refused += _refused(tmp_path / "x.mcap")
    assert refused > 30


def test_flipped_bytes_in_sqlite_are_one_line(tmp_path: Path) -> None:
    path = KINDS["sqlite3 file"](tmp_path / "bag", walk(TIMES))
    data = path.read_bytes()
    rng, refused = np.random.default_rng(2), 0
    for position in rng.integers(0, len(data), 60):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        refused += _refused(path)
    # Most bytes of SQLite are unguarded data: those are read as they stand.
    assert 0 < refused < 60


def _refused(path: Path) -> bool:
    summarized = _raises(path, summarize_recording)
    return _raises(path, lambda p: list(read_recording(p))) or summarized


def _raises(path: Path, read: Callable[[Path], object]) -> bool:
    try:
        read(path)
    except DatasetError as error:
        assert path.name in str(error) and "\n" not in str(error)
        return True
    return False


def test_a_header_is_where_the_type_says(tmp_path: Path) -> None:
    # Without a header, the first eight bytes of a message are no time.
    said = [Said("/text", "std_msgs/msg/String", {"data": "x" * i}, t) for i, t in enumerate(TIMES)]
    path = write_mcap(tmp_path / "x.mcap", [*said, image(0, TIMES[-1])])
    assert summarize_recording(path).jumps == ()
    assert header_fields(5)["stamp"]["nanosec"] == 5
