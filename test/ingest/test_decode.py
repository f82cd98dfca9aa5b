from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from videos import grey_levels, write_video
from vinn.errors import CameraError
from vinn.ingest.decode import probe_video, sample_frames


def level(image: np.ndarray) -> int:
    return round(float(image.mean()) / 5)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("v") / "grey.mp4", grey_levels(40), 10)


def test_probe(video: Path) -> None:
    info = probe_video(video)
    assert (info.width_px, info.height_px) == (96, 64)
    assert info.frame_rate_hz == pytest.approx(10)
    assert info.duration_s == pytest.approx(4, abs=0.11)


def test_samples_are_the_frames_of_their_times(video: Path) -> None:
    frames = list(sample_frames(video, 2.0))
    assert [frame.slot for frame in frames] == list(range(8))
    assert [level(frame.image_rgb) for frame in frames] == [0, 5, 10, 15, 20, 25, 30, 35]
    part = list(sample_frames(video, 5.0, start_s=1.0, end_s=2.0))
    assert [level(frame.image_rgb) for frame in part] == [10, 12, 14, 16, 18]
    assert [frame.slot for frame in part] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts"])
def test_a_late_start_gives_the_same_frames_as_reading_from_the_first(
    tmp_path: Path, ending: str
) -> None:
    images = [np.full((64, 96, 3), 10 + 3 * (i % 80), np.uint8) for i in range(160)]
    path = write_video(tmp_path / f"long.{ending}", images, 10)

    def samples(start_s: float) -> dict[float, int]:
        found = sample_frames(path, 5.0, start_s, 15.0)
        return {round(f.time_s, 2): round(float(f.image_rgb.mean())) for f in found}

    whole, late = samples(0.0), samples(12.0)
    assert len(late) >= 14
    assert late == {time_s: level for time_s, level in whole.items() if time_s >= 11.95}


def test_a_gap_skips_slots(tmp_path: Path) -> None:
    numbers = [*range(10), *range(20, 30)]
    images = [grey_levels(40)[n] for n in numbers]
    path = write_video(tmp_path / "gap.mp4", images, 10, numbers)
    found = [(f.slot, level(f.image_rgb)) for f in sample_frames(path, 5.0)]
    assert found == [(n // 2, n) for n in numbers if n % 2 == 0]


def test_faster_than_the_video_gives_each_frame_once(video: Path) -> None:
    assert [level(f.image_rgb) for f in sample_frames(video, 30.0)] == list(range(40))


@pytest.mark.parametrize("content", [b"", b"no video at all" * 50, b"\0" * 4096])
def test_files_that_are_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    for read in (probe_video, lambda p: list(sample_frames(p, 1.0))):
        with pytest.raises(CameraError, match=r"bad\.mp4") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_missing_file_and_empty_range(tmp_path: Path, video: Path) -> None:
    with pytest.raises(CameraError, match="no such video"):
        probe_video(tmp_path / "none.mp4")
    with pytest.raises(CameraError, match="no frame between"):
        list(sample_frames(video, 1.0, start_s=100.0))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_anywhere_is_a_named_error_or_fewer_frames(
    tmp_path: Path, video: Path, data: st.DataObject
) -> None:
    content = bytearray(video.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(content[: cut or None]))
    try:
        count = sum(1 for _ in sample_frames(path, 10.0))
    except CameraError as error:
        assert "damaged.mp4" in str(error) and "\n" not in str(error)
    else:
        assert count >= 1
