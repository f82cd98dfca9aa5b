"""Recordings: round trip, survival of kill -9, damage, and other readers."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.records import Message, Metadata
from rosbags.rosbag2 import Reader
from vinn.demos.frames import encode_jpeg
from vinn.demos.types import ActionScale
from vinn.errors import DatasetError
from vinn.policies.types import Neighbor, Prediction
from vinn.rollout.messages import (
    definition,
    image_fields,
    prediction_fields,
    serialize,
    typestore,
)
from vinn.rollout.reader import read_recording, summarize_recording
from vinn.rollout.recorder import RolloutRecorder
from vinn.rollout.repair import repair_recording
from vinn.rollout.storage.images import RGB_OF
from vinn.rollout.storage.mcap_file import has_footer, has_index, mcap_records

PREDICTION = Prediction(
    camera_delta=np.array([0.01, -0.02, 0.03]),
    gripper_value=1.25,
    gripper_probabilities=np.array([0.5, 0.0, 0.25, 0.25]),
    action_scale=ActionScale.METRIC,
    neighbors=tuple(
        Neighbor(f"oak_{i}", i, 10 * i, 0.5 * i, 0.5, np.full(3, i, np.float32), 3)
        for i in range(2)
    ),
    latency_s={"encode": 0.004},
)
STAMP_NS = 1_700_000_000_123_456_789


def record(path, count=5, close=True):
    with RolloutRecorder(path, {"session": "s1"}) as recorder:
        for i in range(count):
            recorder.write_message(
                "policy/prediction",
                "vinn_msgs/msg/Prediction",
                prediction_fields(PREDICTION, i, "vinn@1", STAMP_NS + i, "camera"),
                STAMP_NS + i,
            )
            recorder.write(
                "is_homed", "std_msgs/msg/Bool", serialize("std_msgs/msg/Bool", {"data": True}), i
            )
        assert recorder.error is None
        if not close:
            return path.with_name("r.mcap.partial")
        assert recorder.close({"reason": "SUCCESS"}) == path
    return path


def test_round_trip_of_messages_info_and_outcome(tmp_path):
    path = record(tmp_path / "a" / "r.mcap")
    assert [p.name for p in path.parent.iterdir()] == ["r.mcap"]
    messages = list(read_recording(path))
    assert [m.topic for m in messages] == ["policy/prediction", "is_homed"] * 5
    first = messages[0]
    assert (first.type_name, first.stamp_ns) == ("vinn_msgs/msg/Prediction", STAMP_NS)
    message = first.message
    assert message.header.stamp.nanosec == 123_456_789 and message.header.frame_id == "camera"
    assert (message.policy, message.action_scale) == ("vinn@1", "metric")
    assert (message.camera_delta.x, message.camera_delta.z) == (0.01, 0.03)
    assert message.gripper_probabilities.tolist() == [0.5, 0.0, 0.25, 0.25]
    assert [n.demonstration for n in message.neighbors] == ["oak_0", "oak_1"]
    assert message.neighbors[1].gripper_state == 3 and np.isnan(message.novelty)
    assert message.encode_latency_s == pytest.approx(0.004)
    summary = summarize_recording(path)
    assert summary.info == {"session": "s1"} and summary.outcome == {"reason": "SUCCESS"}
    assert summary.message_counts == {"policy/prediction": 5, "is_homed": 5}
    assert len(list(read_recording(path, topics={"is_homed"}))) == 5


def test_images_come_back_as_rgb(tmp_path):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = (200, 30, 10)
    path = tmp_path / "r.mcap"
    with RolloutRecorder(path) as recorder:
        fields = image_fields(encode_jpeg(image), STAMP_NS, "camera")
        recorder.write_message("image", "sensor_msgs/msg/CompressedImage", fields, STAMP_NS)
        recorder.close({})
    (read,) = read_recording(path)
    rgb = RGB_OF[read.type_name](read.message, "image")
    assert np.abs(rgb.astype(int) - image)[:, :28].max() < 12


def test_a_finished_recording_has_an_index_of_every_message(tmp_path):
    rng = np.random.default_rng(3)
    path = tmp_path / "r.mcap"
    with RolloutRecorder(path, {"session": "s1"}) as recorder:
        recorder.write_parameters({"a.b": "1"})
        for i in range(120):
            noise = rng.integers(0, 255, (64, 64, 3), np.uint8)
            fields = image_fields(encode_jpeg(noise), STAMP_NS + i, "camera")
            recorder.write_message("image", "sensor_msgs/msg/CompressedImage", fields, i)
            recorder.write("homed", "std_msgs/msg/Bool", b"\0\1\0\0\1", i)
        partial = path.with_name("r.mcap.partial")
        assert not has_footer(partial)
        before = [(m.topic, m.stamp_ns) for m in read_recording(partial)]
        recorder.close({"reason": "SUCCESS"})
    assert [p.name for p in tmp_path.iterdir()] == ["r.mcap"] and has_index(path)
    assert [(m.topic, m.stamp_ns) for m in read_recording(path)] == before
    with path.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary.statistics.message_count == 240 and len(summary.chunk_indexes) > 0
        assert len(list(reader.iter_messages(topics=["image"]))) == 120
        some = [m.log_time for _, _, m in reader.iter_messages("homed", start_time=50, end_time=60)]
        assert some == list(range(50, 60))
    records = list(mcap_records(path))
    last = max(place for place, record in enumerate(records) if isinstance(record, Message))
    names = {r.name: place for place, r in enumerate(records) if isinstance(r, Metadata)}
    # Where a copy breaks off, it must not have said yet how the rollout ended.
    assert names["vinn_rollout"] < names["vinn_parameters"] < last < names["vinn_rollout_outcome"]


@pytest.mark.parametrize("kind", ["full", "refusing"])
def test_without_room_for_an_index_the_recording_is_whole_all_the_same(tmp_path, monkeypatch, kind):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "r.mcap"
    with RolloutRecorder(path, min_free_bytes=0) as recorder:
        recorder.write_message("text", "std_msgs/msg/String", {"data": "x"}, 5)
        if kind == "refusing":
            monkeypatch.setattr("vinn.rollout.recorder.write_indexed", refuse)
        else:
            recorder._min_free_bytes = 2**62
        assert recorder.close({"reason": "SUCCESS"}) == path and recorder.error is None
    assert [p.name for p in tmp_path.iterdir()] == ["r.mcap"] and not has_index(path)
    assert summarize_recording(path).outcome == {"reason": "SUCCESS"}
    monkeypatch.undo()
    assert not repair_recording(path).already_whole and has_index(path)
    assert summarize_recording(path).outcome == {"reason": "SUCCESS"}


def test_another_reader_opens_a_finished_recording(tmp_path):
    path = record(tmp_path / "r.mcap")
    with Reader(path) as reader:
        assert {c.msgtype for c in reader.connections} == {
            "vinn_msgs/msg/Prediction",
            "std_msgs/msg/Bool",
        }
        seen = [
            typestore().deserialize_cdr(raw, connection.msgtype)
            for connection, _, raw in reader.messages()
        ]
    assert len(seen) == 10


def test_definitions_carry_units_and_dependencies_as_rosbag2_writes_them():
    text = definition("vinn_msgs/msg/Prediction")
    assert text.startswith("# What the policy wants")
    parts = text.split("=" * 80 + "\n")
    names = [part.splitlines()[0] for part in parts[1:]]
    assert set(names) == {
        "MSG: std_msgs/Header",
        "MSG: builtin_interfaces/Time",
        "MSG: geometry_msgs/Vector3",
        "MSG: vinn_msgs/Neighbor",
    }


KILLED = """
import itertools, sys
from vinn.rollout.messages import serialize
from vinn.rollout.recorder import RolloutRecorder
recorder = RolloutRecorder(sys.argv[1], {"session": "killed"})
for i in itertools.count():
    cdr = serialize("std_msgs/msg/UInt64", {"data": i})
    recorder.write("count", "std_msgs/msg/UInt64", cdr, i)
    print(i, flush=True)
"""


def test_kill_9_loses_nothing_that_was_written(tmp_path):
    path = tmp_path / "r.mcap"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    last = -1
    for line in child.stdout:
        last = int(line)
        if last >= 500:
            os.kill(child.pid, signal.SIGKILL)
            break
    last = int((["", *child.stdout.read().split()][-1]) or last)
    child.wait()
    assert not path.exists()
    partial = tmp_path / "r.mcap.partial"
    values = [m.message.data for m in read_recording(partial)]
    assert values == list(range(len(values))) and len(values) >= last + 1 > 500
    summary = summarize_recording(partial)
    assert summary.info == {"session": "killed"} and summary.outcome is None


def test_a_file_cut_anywhere_gives_its_whole_messages_or_says_what_it_is(tmp_path):
    data = record(tmp_path / "r.mcap", close=False).read_bytes()
    cut, counts = tmp_path / "cut.mcap", []
    for size in [*range(0, len(data), 97), len(data)]:
        cut.write_bytes(data[:size])
        if size < 8:
            with pytest.raises(DatasetError, match=r"cut\.mcap"):
                list(read_recording(cut))
            continue
        counts.append(len(list(read_recording(cut))))
    assert counts == sorted(counts) and counts[-1] == 10 and counts[0] == 0


@pytest.mark.parametrize("close", [True, False])
def test_flipped_bytes_never_give_anything_but_a_dataset_error(tmp_path, close):
    data = bytearray(record(tmp_path / "r.mcap", close=close).read_bytes())
    rng, flipped, refused = np.random.default_rng(0), tmp_path / "flipped.mcap", 0
    for position in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        flipped.write_bytes(damaged)
        try:
            assert len(list(read_recording(flipped))) <= 10
        except DatasetError as error:
            refused += 1
            assert "flipped.mcap" in str(error) and "\n" not in str(error)
    assert refused > 10


@pytest.mark.parametrize("content", [b"", b"hello, this is text", None])
def test_what_is_no_recording_is_refused_by_name(tmp_path, content):
    path = tmp_path / "no.mcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"no\.mcap"):
        list(read_recording(path))


def test_recording_refuses_to_overwrite_and_wrong_names(tmp_path):
    record(tmp_path / "r.mcap")
    with pytest.raises(DatasetError, match="exists"):
        RolloutRecorder(tmp_path / "r.mcap")
    with pytest.raises(DatasetError, match=r"\.mcap"):
        RolloutRecorder(tmp_path / "r.bag")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot record"):
        RolloutRecorder(tmp_path / "file" / "r.mcap")


def test_a_full_disk_ends_the_recording_but_not_the_rollout(tmp_path):
    pytest.importorskip("resource")
    code = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from vinn.rollout.recorder import RolloutRecorder
recorder = RolloutRecorder({str(tmp_path / "r.mcap")!r})
for i in range(200):
    recorder.write_message("text", "std_msgs/msg/String", {{"data": "x" * 400}}, i)
assert "recording ended" in recorder.error, recorder.error
print(recorder.close({{"reason": "SUCCESS"}}).name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "r.mcap.partial"), done.stderr
    partial = tmp_path / "r.mcap.partial"
    assert summarize_recording(partial).outcome is None
    assert 20 < len(list(read_recording(partial))) < 60


def test_leaving_without_an_outcome_keeps_the_file_partial(tmp_path):
    with pytest.raises(RuntimeError), RolloutRecorder(tmp_path / "r.mcap"):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["r.mcap.partial"]


def test_writing_after_the_end_is_ignored_and_closing_twice_is_harmless(tmp_path):
    path = tmp_path / "r.mcap"
    recorder = RolloutRecorder(path)
    assert recorder.close({}) == recorder.close({}) == path
    recorder.write_message("text", "std_msgs/msg/String", {}, 0)
    assert list(read_recording(path)) == []


def test_unknown_types_and_fields_are_named():
    with pytest.raises(KeyError, match="nonsense"):
        serialize("vinn_msgs/msg/Prediction", {"nonsense": 1})
    with pytest.raises(KeyError, match="No"):
        definition("vinn_msgs/msg/No")
    with pytest.raises(ValueError, match="4 elements"):
        serialize("vinn_msgs/msg/Prediction", {"gripper_probabilities": [1.0]})


@pytest.mark.parametrize(
    "name", ["ExecutorStatus", "JointCommand", "Prediction", "RolloutStatus", "SceneStatus"]
)
def test_serialisation_is_that_of_ros(name):
    serialization = pytest.importorskip("rclpy.serialization")
    messages = pytest.importorskip("vinn_msgs.msg")
    fields = prediction_fields(PREDICTION, 3, "p", STAMP_NS) if name == "Prediction" else {}
    type_name = f"vinn_msgs/msg/{name}"
    cdr = serialize(type_name, fields)
    theirs = serialization.deserialize_message(cdr, getattr(messages, name))
    again = typestore().deserialize_cdr(serialization.serialize_message(theirs), type_name)
    assert repr(again) == repr(typestore().deserialize_cdr(cdr, type_name))
