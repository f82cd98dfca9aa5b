from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from vinn.ingest.assignment import clip_name
from vinn.ingest.batch import ClipTask, process_clips
from vinn.ingest.lenses.camera_profile import SHIPPED, load_profile
from vinn.ingest.pipeline import IngestSettings


@pytest.mark.parametrize(
    ("video", "bounds", "expected"),
    [
        ("a/kitchen.mp4", (0.0, float("inf")), "kitchen"),
        ("my clip (2).MOV", (0.0, float("inf")), "my-clip-2"),
        ("---.mp4", (0.0, float("inf")), "clip"),
        ("kitchen.mp4", (120.0, 150.5), "kitchen-120-150.5s"),
        ("kitchen.mp4", (3600.0, float("inf")), "kitchen-3600s"),
    ],
)
def test_clip_names(video: str, bounds: tuple[float, float], expected: str) -> None:
    assert clip_name(Path(video), *bounds) == expected


def test_ranges_of_one_video_are_different_clips() -> None:
    bounds = [0.0, 0.1, 1.0, 10.0, 1e6, float("inf")]
    names = [clip_name(Path("k.mp4"), a, b) for a, b in itertools.combinations(bounds, 2)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


def test_one_bad_clip_does_not_stop_the_others(tmp_path: Path) -> None:
    bad = [tmp_path / f"{name}.mp4" for name in ("empty", "text")]
    bad[0].write_bytes(b"")
    bad[1].write_bytes(b"no video" * 100)
    tasks = [ClipTask(path, path.stem) for path in (*bad, tmp_path / "missing.mp4")]
    profile = load_profile(SHIPPED / "sim_fisheye.yaml")
    results = process_clips(tasks, profile, IngestSettings(), tmp_path / "work", jobs=2)
    assert [result.name for result in results] == ["empty", "text", "missing"]
    for result, reason in zip(results, ("is empty", "not a video", "no such video"), strict=True):
        assert result.error is not None and reason in result.error and "\n" not in result.error
