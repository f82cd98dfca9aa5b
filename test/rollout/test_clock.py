"""Clocks that are set while something is recorded: found where they were, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bags import IMAGE, POSE, SECOND, START, image, pose, walk, write_mcap
from hypothesis import given, settings
from hypothesis import strategies as st
from vinn.cli.main import run
from vinn.rollout.messages import header_fields, serialize
from vinn.rollout.reader import read_recording, summarize_recording
from vinn.rollout.storage.clock import SILENCE_S, ClockJump, RecordingClock, stamp_of

BOOT = 5 * SECOND
"""What a computer without a clock of its own believes: 1970."""


def times(count: int, start_ns: int = START, apart_s: float = 0.1) -> list[int]:
    return [start_ns + round(i * apart_s * SECOND) for i in range(count)]


def found(pairs: list[tuple[str, int, int | None]]) -> tuple[list[ClockJump], list[int]]:
    clock = RecordingClock()
    return clock.jumps, [clock.take(*pair) for pair in pairs]


@settings(max_examples=60, deadline=None)
@given(
    steps_ms=st.lists(st.integers(0, 5000), min_size=2, max_size=60),
    topics=st.integers(1, 4),
    disorder_ms=st.integers(0, 180),
    latency_ms=st.integers(0, 900),
    seed=st.integers(0, 100),
)
def test_what_recorders_do_by_themselves_is_no_jump(
    steps_ms: list[int], topics: int, disorder_ms: int, latency_ms: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    at_ns = START + np.cumsum(steps_ms) * 10**6
    pairs = [
        (f"t{rng.integers(topics)}", int(t - rng.integers(disorder_ms + 1) * 10**6), int(t))
        for t in at_ns
    ]
    pairs = [(topic, t, s - int(rng.integers(latency_ms + 1)) * 10**3) for topic, t, s in pairs]
    jumps, read = found(pairs)
    assert jumps == [] and read == [t for _, t, _ in pairs]


def test_topic_after_topic_is_no_jump_and_unset_stamps_are_none() -> None:
    pairs = [(topic, t, 0) for topic in "abc" for t in times(50)]
    assert found(pairs)[0] == []
    # One that is said again and again, and then another.
    said = [("a", t, START if i < 40 else START + 4 * SECOND) for i, t in enumerate(times(50))]
    assert found(said)[0] == []


@settings(max_examples=60, deadline=None)
@given(
    by_s=st.floats(-1e9, 1e9).filter(lambda s: s < -0.7 or s > SILENCE_S + 1),
    at=st.integers(3, 17),
    stamped=st.booleans(),
    topics=st.integers(1, 3),
)
def test_a_set_clock_is_found_once_and_taken_out(
    by_s: float, at: int, stamped: bool, topics: int
) -> None:
    at = max(at, topics + 1)
    by_ns = round(by_s * SECOND)
    set_ns = [t + (by_ns if i >= at else 0) for i, t in enumerate(times(20, apart_s=0.05))]
    jumps, read = found(
        [(f"t{i % topics}", t, t if stamped else None) for i, t in enumerate(set_ns)]
    )
    (jump,) = jumps
    assert jump.topic == "" and at <= jump.message < at + topics
    assert abs(jump.by_s - by_s) < 0.4
    assert max(np.diff(read)) < 0.5 * SECOND and min(np.diff(read)) >= -0.2 * SECOND


@pytest.mark.parametrize("by_s", [-3600.0, -1.0, 3.0, 86400.0])
def test_a_senders_clock_alone_is_named_by_its_topic(by_s: float) -> None:
    pairs: list[tuple[str, int, int | None]] = []
    for i, t in enumerate(times(40)):
        pairs += [("/mine", t, t), ("/theirs", t, t + (round(by_s * SECOND) if i >= 20 else 0))]
    jumps, read = found(pairs)
    assert [(jump.topic, jump.message) for jump in jumps] == [("/theirs", 41)]
    assert jumps[0].by_s == pytest.approx(by_s)
    assert read == [t for _, t, _ in pairs]
    assert "the stamps on /theirs jump by" in str(jumps[0])


def test_the_stamp_is_read_from_the_bytes() -> None:
    fields = {"header": header_fields(1_234_567_890_987_654_321, "x")}
    assert stamp_of(serialize("sensor_msgs/msg/JointState", fields)) == 1_234_567_890_987_654_321
    assert stamp_of(b"\0\1\0\0\1") is None and stamp_of(b"\x28\xb5\x2f\xfd" + bytes(20)) is None


SET = {
    "boot": (times(20, BOOT) + times(20), START - BOOT),
    "hours": (times(20) + times(20, START + 7200 * SECOND), 7200 * SECOND),
    "back": (times(20) + times(20, START + SECOND), -SECOND),
    "years back": (times(20) + times(20, BOOT), BOOT - START),
}


@pytest.mark.parametrize("case", SET)
def test_readers_name_it_and_go_on(case: str, tmp_path: Path, capsys) -> None:
    set_ns, _ = SET[case]
    path = write_mcap(tmp_path / "x.mcap", walk(set_ns))
    jumps: list[ClockJump] = []
    read = [m.stamp_ns for m in read_recording(path, {POSE}, jumps.append)]
    assert len(jumps) == 1 and jumps[0].topic == ""
    assert np.diff(read).max() <= 0.15 * SECOND and np.diff(read).min() >= 0
    summary = summarize_recording(path)
    assert summary.jumps == tuple(jumps) and summary.duration_s == pytest.approx(3.8, abs=0.2)
    assert run(["recordings", "info", str(path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["clock"].startswith("the recorder's clock jumps by")
    assert run(["recordings", "info", str(path)]) == 0
    assert "clock jumps by" in capsys.readouterr().err


def test_many_jumps_are_counted_not_listed(tmp_path: Path) -> None:
    parts = [times(5, START + (i % 2) * 100 * SECOND) for i in range(8)]
    said = [image(0, t) for part in parts for t in part]
    said += [pose((0, 0, 0), parts[-1][-1])]
    summary = summarize_recording(write_mcap(tmp_path / "x.mcap", said))
    assert len(summary.jumps) == 7 and summary.clock_problem.endswith("and 4 more")
    assert summary.message_counts[IMAGE] == 40
