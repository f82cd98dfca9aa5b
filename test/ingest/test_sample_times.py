"""Films of any pace: sample k is the frame at k / rate, by the frame's own neighbours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vinn.ingest.decode import sample_frames
from vinn.ingest.sample_times import sampled_indices, slot_of


def film(path: Path, times_ms: list[int]) -> Path:
    """Frames at these times; a phone that drops frames writes such files."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for time_ms in times_ms:
            image = np.full((48, 64, 3), time_ms % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def paced(*parts: tuple[float, float]) -> list[int]:
    """Times [ms] of parts one after the other, each (rate in Hz, length in s)."""
    found: list[int] = []
    begin = 0.0
    for rate_hz, length_s in parts:
        found += [round(1000 * (begin + k / rate_hz)) for k in range(round(rate_hz * length_s))]
        begin += length_s
    return found


@pytest.mark.parametrize(
    "parts",
    [
        [(30, 4), (0.5, 30)],
        [(0.5, 30), (30, 4)],
        [(30, 2), (10, 2), (60, 2), (20, 2)],
        [(24, 1), (0.2, 20), (120, 1), (30, 1)],
        [(30, 1), (1, 5), (30, 1), (1, 5), (30, 1)],
    ],
    ids=["slows down", "still first", "four rates", "slow motion", "stop and go"],
)
@pytest.mark.parametrize("rate_hz", [2.0, 5.0, 10.0])
def test_a_sample_is_the_frame_of_its_time_at_any_pace(
    tmp_path: Path, parts: list[tuple[float, float]], rate_hz: float
) -> None:
    times_ms = paced(*parts)
    found = list(sample_frames(film(tmp_path / "a.mp4", times_ms), rate_hz))
    slots = [frame.slot for frame in found]
    assert slots == sorted(set(slots))
    assert slots[0] == 0
    by_slot = {frame.slot: frame.time_s for frame in found}
    present = set(times_ms)
    for slot in range(int(times_ms[-1] / 1000 * rate_hz) + 1):
        exact_ms = round(1000 * slot / rate_hz)
        if exact_ms in present:
            assert by_slot[slot] == pytest.approx(exact_ms / 1000, abs=1e-6)
        elif slot in by_slot:
            # Half a frame of the 24 Hz part before its time at most, and before the next.
            assert -0.5 / 24 < by_slot[slot] - slot / rate_hz < 1 / rate_hz


@settings(max_examples=200, deadline=None)
@given(
    gaps=st.lists(st.floats(0.001, 5.0), min_size=1, max_size=60),
    rate_hz=st.sampled_from([0.5, 1.0, 3.0, 10.0, 25.0]),
)
def test_samples_against_the_plain_search(gaps: list[float], rate_hz: float) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    used = sampled_indices(times.tolist(), rate_hz)
    assert used[0] == 0 and used == sorted(set(used))
    near = np.minimum(np.diff(times, prepend=-np.inf), np.diff(times, append=np.inf))
    slots = [slot_of(times[i], near[i], rate_hz) for i in used]
    assert slots == sorted(set(slots))
    for index, slot in zip(used, slots, strict=True):
        early_s = slot / rate_hz - times[index]
        assert early_s <= 0.5 * min(near[index], 1 / rate_hz) + 1e-9
        assert times[index] < (slot + 1) / rate_hz
    for index in set(range(len(times))) - set(used):
        # A frame that is left out comes after one for the same sample time.
        slot = slot_of(times[index], near[index], rate_hz)
        assert any(i < index and s >= slot for i, s in zip(used, slots, strict=True))


def test_jitter_costs_no_sample() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(300) / 30 + rng.uniform(-0.008, 0.008, 300)
    times -= times[0]
    used = sampled_indices(times.tolist(), 10.0)
    assert len(used) == 100
    np.testing.assert_allclose(times[used], np.arange(100) / 10, atol=0.035)
