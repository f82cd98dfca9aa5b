"""The demonstration store: round trips, atomic writes, refusals, splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vinn.demos.store import (
    Dataset,
    read_demonstration,
    read_frame,
    validate_dataset,
    write_demonstration,
)
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import DatasetError

HEIGHT, WIDTH = 48, 64


def make_meta(name: str, **changes: object) -> DemonstrationMeta:
    camera = CameraInfo(name="wrist", width_px=WIDTH, height_px=HEIGHT)
    return DemonstrationMeta(name=name, task="door", camera=camera, **changes)  # type: ignore[arg-type]


def make_frames(count: int, seed: int) -> list[np.ndarray]:
    """Smooth random images (noise would not survive JPEG), red ramp left to right."""
    rng = np.random.default_rng(seed)
    base = np.linspace(0, 255, WIDTH)[None, :] * np.ones((HEIGHT, 1))
    return [
        np.stack([base, np.full_like(base, rng.integers(256)), 255 - base], axis=-1).astype(
            np.uint8
        )
        for _ in range(count)
    ]


def write(root: Path, name: str, count: int = 5, seed: int = 0, **changes: object) -> Path:
    rng = np.random.default_rng(seed)
    delta = rng.normal(0, 0.02, (count, 3))
    gripper = rng.integers(0, 4, count)
    return write_demonstration(
        root, make_meta(name, **changes), make_frames(count, seed), delta, gripper
    )


def test_round_trip_keeps_actions_exactly_and_colours_closely(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    delta = rng.normal(0, 0.02, (7, 3)).astype(np.float32)
    gripper = np.array([0, 1, 2, 3, 3, 2, 0])
    frames = make_frames(7, 3)
    folder = write_demonstration(tmp_path, make_meta("a"), iter(frames), delta, gripper)
    demonstration = read_demonstration(folder)
    np.testing.assert_array_equal(demonstration.camera_delta, delta)
    np.testing.assert_array_equal(demonstration.gripper, gripper)
    assert len(demonstration) == 7
    for path, frame in zip(demonstration.frame_paths, frames, strict=True):
        found = read_frame(path)
        assert found.shape == frame.shape
        # Swapped channels would differ by up to 255 at the ends of the ramp.
        assert np.abs(found.astype(int) - frame).mean() < 4


def test_existing_demonstration_is_not_overwritten(tmp_path: Path) -> None:
    folder = write(tmp_path, "a", seed=1)
    before = (folder / "frames.parquet").read_bytes()
    with pytest.raises(DatasetError, match="exists already"):
        write(tmp_path, "a", seed=2)
    assert (folder / "frames.parquet").read_bytes() == before


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    frames = [*make_frames(3, 0), np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8)]
    with pytest.raises(DatasetError, match="65x48"):
        write_demonstration(tmp_path, make_meta("a"), frames, np.zeros((4, 3)), np.zeros(4, int))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("delta", "gripper", "message"),
    [
        (np.full((5, 3), np.nan), np.zeros(5, int), "action 0 is not finite"),
        (np.zeros((5, 2)), np.zeros(5, int), r"\(5, 2\)"),
        (np.zeros((4, 3)), np.zeros(4, int), "5 frames but 4 actions"),
        (np.zeros((5, 3)), np.array([0, 0, 4, 0, 0]), "gripper state 2 is 4"),
        (None, None, "actions are missing"),
    ],
)
def test_bad_actions_are_refused(
    tmp_path: Path, delta: np.ndarray | None, gripper: np.ndarray | None, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        write_demonstration(tmp_path, make_meta("a"), make_frames(5, 0), delta, gripper)
    assert list(tmp_path.iterdir()) == []


def test_unit_scale_wants_unit_or_zero(tmp_path: Path) -> None:
    meta = make_meta("a", action_scale=ActionScale.UNIT)
    good = np.array([[0, 0, 1.0], [0, 0, 0]])
    write_demonstration(tmp_path, meta, make_frames(2, 0), good, [0, 3])
    with pytest.raises(DatasetError, match=r"action 1 has length 0\.5"):
        write_demonstration(
            tmp_path,
            make_meta("b", action_scale=ActionScale.UNIT),
            make_frames(2, 0),
            np.array([[0, 0, 1.0], [0, 0.5, 0]]),
            [0, 3],
        )


def test_frames_without_actions(tmp_path: Path) -> None:
    write_demonstration(
        tmp_path, make_meta("free", has_actions=False), make_frames(2, 0), None, None
    )
    only_free = Dataset.open(tmp_path)
    with pytest.raises(DatasetError, match="no demonstration has actions"):
        only_free.with_actions()
    write(tmp_path, "acting")
    dataset = Dataset.open(tmp_path)
    assert dataset.frame_count == 7
    assert [d.meta.name for d in dataset.with_actions().demonstrations] == ["acting"]
    assert dataset.action_scale is ActionScale.METRIC


def test_open_refuses_missing_empty_and_mixed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        Dataset.open(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no demonstrations"):
        Dataset.open(tmp_path)
    write(tmp_path, "metres")
    write_demonstration(
        tmp_path,
        make_meta("units", action_scale=ActionScale.UNIT),
        make_frames(1, 0),
        [[1.0, 0, 0]],
        [0],
    )
    with pytest.raises(DatasetError, match="metres is metric, units is unit"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize("victim", ["meta.json", "frames.parquet", "frames/000002.jpg"])
def test_truncated_or_missing_file_is_named(tmp_path: Path, victim: str) -> None:
    folder = write(tmp_path, "a")
    path = folder / victim
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    report = validate_dataset(tmp_path)
    assert not report.ok
    assert victim in report.bad[0]
    assert "\n" not in report.bad[0]
    path.unlink()
    with pytest.raises(DatasetError, match=victim):
        Dataset.open(tmp_path)


def test_validate_reports_counts_and_first_bad_file(tmp_path: Path) -> None:
    write(tmp_path, "a", count=4)
    folder = write(tmp_path, "b", count=3)
    assert validate_dataset(tmp_path).frames == 7
    # A valid JPEG of the right size in the wrong place: only the hash can tell.
    first, second = folder / "frames/000000.jpg", folder / "frames/000001.jpg"
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 0x01
    second.write_bytes(bytes(data))
    report = validate_dataset(tmp_path)
    assert (report.demonstrations, report.frames) == (1, 6)
    assert report.first_bad_file == second
    assert first.exists()


def test_hash_is_of_contents(tmp_path: Path) -> None:
    for root in ("one", "two"):
        write(tmp_path / root, "a", seed=1)
        write(tmp_path / root, "b", seed=2)
    one, two = Dataset.open(tmp_path / "one"), Dataset.open(tmp_path / "two")
    assert one.hash == two.hash
    write(tmp_path / "two", "c", seed=3)
    assert Dataset.open(tmp_path / "two").hash != one.hash
    other = tmp_path / "other"
    write_demonstration(other, make_meta("a"), make_frames(5, 1), np.zeros((5, 3)), np.zeros(5))
    same_frames = Dataset.open(other)
    assert same_frames.frame_hashes[0] == one.frame_hashes[0]
    assert same_frames.hash != one.hash


def test_split_is_disjoint_seeded_and_complete(tmp_path: Path) -> None:
    for index in range(10):
        write(tmp_path, f"demo_{index}", count=2, seed=index)
    dataset = Dataset.open(tmp_path)
    fractions = {"train": 0.7, "validation": 0.1, "test": 0.2}
    parts = dataset.split(fractions, seed=5)
    names = {part: [d.meta.name for d in subset.demonstrations] for part, subset in parts.items()}
    assert [len(n) for n in names.values()] == [7, 1, 2]
    together = [name for part in names.values() for name in part]
    assert sorted(together) == [f"demo_{i}" for i in range(10)]
    again = dataset.split(fractions, seed=5)
    assert all(again[part].hash == parts[part].hash for part in parts)
    assert dataset.split(fractions, seed=6)["train"].hash != parts["train"].hash
    with pytest.raises(DatasetError, match="'test'"):
        dataset.split({"train": 0.99, "test": 0.01}, seed=0)
    with pytest.raises(DatasetError, match="at most 1"):
        dataset.split({"train": 0.9, "test": 0.2}, seed=0)


def test_half_written_temporary_folders_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / ".b.partial" / "frames").mkdir(parents=True)
    assert len(Dataset.open(tmp_path)) == 1
