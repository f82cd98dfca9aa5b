"""Datasets made of others: what is kept is kept exactly, and what would be lost is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vinn.cli.main import run
from vinn.demos.curation import change_rate, delete, merge, trim, trim_still
from vinn.demos.hindsight import missing_after, of_demonstration
from vinn.demos.store import Dataset, read_frame, validate_dataset, write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import DatasetError

SIDE_PX = 16
SEEDS = range(6)


def written(
    root: Path,
    names: tuple[str, ...],
    seed: int = 0,
    scale: ActionScale = ActionScale.METRIC,
    **meta: object,
) -> Dataset:
    """Demonstrations that approach, close, carry and open, standing still at both ends."""
    rng = np.random.default_rng([seed, len(names)])
    for name in names:
        still = rng.integers(0, 3, 2)
        parts = [int(still[0]), int(rng.integers(3, 9)), 2, int(rng.integers(2, 7)), 1]
        gripper = np.repeat([0, 0, 3, 3, 0], parts)
        gripper = np.append(gripper, np.zeros(still[1], int))
        delta = rng.normal(0, 0.02, (len(gripper), 3)).astype(np.float32)
        delta[: parts[0]] = 0
        delta[len(delta) - still[1] :] = 0
        delta[np.flatnonzero(np.diff(gripper, prepend=0))] = 0
        if scale is ActionScale.UNIT:
            length = np.linalg.norm(delta, axis=1, keepdims=True)
            delta = delta / np.where(length > 0, length, 1)
        frames = list(rng.integers(0, 256, (len(gripper), SIDE_PX, SIDE_PX, 3), dtype=np.uint8))
        write_demonstration(
            root,
            DemonstrationMeta.model_validate(
                {
                    "name": name,
                    "task": "carry",
                    "camera": CameraInfo(name="c", width_px=SIDE_PX, height_px=SIDE_PX),
                    "action_scale": scale,
                    **meta,
                }
            ),
            frames,
            delta,
            gripper,
        )
    return Dataset.open(root)


def contents(dataset: Dataset) -> dict[str, tuple[bytes, bytes, tuple[str, ...]]]:
    return {
        d.meta.name: (d.camera_delta.tobytes(), d.gripper.tobytes(), hashes)
        for d, hashes in zip(dataset.demonstrations, dataset.frame_hashes, strict=True)
    }


def test_merged_is_the_union_and_sources_stay(tmp_path: Path) -> None:
    first = written(tmp_path / "a", ("x", "y"), 1)
    second = written(tmp_path / "b", ("z", "w"), 2)
    before = first.hash, second.hash
    made = merge([first, second], tmp_path / "both")
    both = Dataset.open(tmp_path / "both")
    assert contents(both) == contents(first) | contents(second)
    assert (made.demonstrations, made.frames, made.lost) == (4, both.frame_count, 0)
    assert validate_dataset(tmp_path / "both").ok
    assert (Dataset.open(tmp_path / "a").hash, Dataset.open(tmp_path / "b").hash) == before


def test_what_merging_would_lose_is_refused(tmp_path: Path) -> None:
    first = written(tmp_path / "a", ("x", "y"), 1)
    same_names = written(tmp_path / "b", ("x", "v"), 2)
    unit = written(tmp_path / "c", ("u",), 3, ActionScale.UNIT)
    for other, why in ((same_names, "same name"), (unit, "one scale")):
        with pytest.raises(DatasetError, match=why):
            merge([first, other], tmp_path / "out")
        assert not (tmp_path / "out").exists()
    merge([first, same_names], tmp_path / "prefixed", prefixed=True)
    found = Dataset.open(tmp_path / "prefixed")
    assert {d.meta.name for d in found.demonstrations} == {"a-x", "a-y", "b-x", "b-v"}
    assert sorted(found.frame_hashes) == sorted(first.frame_hashes + same_names.frame_hashes)
    # The same demonstration by another name.
    with pytest.raises(DatasetError, match="has the frames of"):
        merge([found, first], tmp_path / "out")
    with pytest.raises(DatasetError, match="exists already"):
        merge([first, written(tmp_path / "d", ("q",), 4)], tmp_path / "prefixed")


def test_deleted_are_gone_and_the_others_are_not(tmp_path: Path) -> None:
    dataset = written(tmp_path / "a", ("x", "y", "z"), 5)
    made = delete(dataset, ["y"], tmp_path / "rest")
    kept = contents(dataset)
    gone = kept.pop("y")
    assert contents(Dataset.open(tmp_path / "rest")) == kept
    assert made.lost == len(gone[2])
    for names, why in ((["nobody"], "nobody"), (["x", "y", "z"], "all 3")):
        with pytest.raises(DatasetError, match=why):
            delete(dataset, names, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("seed", SEEDS)
def test_trimmed_frames_are_those_asked_for(seed: int, tmp_path: Path) -> None:
    dataset = written(tmp_path / "a", ("x", "y"), seed)
    x, y = dataset.demonstrations
    changes = of_demonstration(x).changes
    trim(dataset, "x", changes[0] - 1, changes[-1], tmp_path / "out")
    cut, other = Dataset.open(tmp_path / "out").demonstrations
    rows = slice(changes[0] - 1, changes[-1] + 1)
    np.testing.assert_array_equal(cut.camera_delta, x.camera_delta[rows])
    np.testing.assert_array_equal(cut.gripper, x.gripper[rows])
    for path, original in zip(cut.frame_paths, x.frame_paths[rows], strict=True):
        assert path.read_bytes() == original.read_bytes()
    np.testing.assert_array_equal(other.camera_delta, y.camera_delta)
    for first, last in ((changes[0] + 1, len(x) - 1), (0, changes[-1] - 1)):
        with pytest.raises(DatasetError, match="would be cut off"):
            trim(dataset, "x", first, last, tmp_path / "refused")
        assert not (tmp_path / "refused").exists()
    trim(dataset, "x", changes[0] + 1, len(x) - 1, tmp_path / "forced", force=True)
    with pytest.raises(DatasetError, match=f"0 to {len(x) - 1}"):
        trim(dataset, "x", 0, len(x), tmp_path / "refused")


@pytest.mark.parametrize("seed", SEEDS)
def test_only_what_stands_still_is_trimmed(seed: int, tmp_path: Path) -> None:
    dataset = written(tmp_path / "a", ("x", "y", "z"), seed)
    made = trim_still(dataset, tmp_path / "out")
    lost = 0
    for before, after in zip(
        dataset.demonstrations, Dataset.open(tmp_path / "out").demonstrations, strict=True
    ):
        np.testing.assert_allclose(
            after.camera_delta.sum(axis=0), before.camera_delta.sum(axis=0), atol=1e-6
        )
        changes = [np.diff(d.gripper, prepend=0) for d in (before, after)]
        assert [list(c[c != 0]) for c in changes] == [list(changes[0][changes[0] != 0])] * 2
        for end in (0, -1):
            assert after.camera_delta[end].any() or changes[1][end]
        lost += len(before) - len(after)
    assert made.lost == lost


@pytest.mark.parametrize("every", [2, 3, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_lower_rate_goes_the_same_way(seed: int, every: int, tmp_path: Path) -> None:
    dataset = written(tmp_path / "a", ("x", "y"), seed)
    made = change_rate(dataset, every, tmp_path / "out")
    slow = Dataset.open(tmp_path / "out")
    assert made.frames == slow.frame_count
    assert made.lost == dataset.frame_count - slow.frame_count > 0
    for before, after in zip(dataset.demonstrations, slow.demonstrations, strict=True):
        fast, slower = of_demonstration(before), of_demonstration(after)
        assert len(slower.changes) == len(fast.changes)
        for one, other in zip(fast.changes, slower.changes, strict=True):
            # The gripper changes in the same picture, after the same way.
            np.testing.assert_array_equal(
                read_frame(before.frame_paths[one]), read_frame(after.frame_paths[other])
            )
            np.testing.assert_allclose(
                before.camera_delta[:one].sum(axis=0),
                after.camera_delta[:other].sum(axis=0),
                atol=1e-5,
            )
            assert not after.camera_delta[other].any()
        assert -(-len(before) // every) <= len(after) < len(before)


def test_a_rate_is_stated_only_where_there_is_one(tmp_path: Path) -> None:
    delta, gripper = np.full((7, 3), 0.01), np.zeros(7, int)
    meta = DemonstrationMeta(
        name="even",
        task="t",
        camera=CameraInfo(name="c", width_px=SIDE_PX, height_px=SIDE_PX),
        frame_rate_hz=30.0,
    )
    frames = list(np.random.default_rng(0).integers(0, 256, (7, SIDE_PX, SIDE_PX, 3), np.uint8))
    write_demonstration(tmp_path / "a", meta, frames, delta, gripper)
    written(tmp_path / "a", ("uneven",), 3, frame_rate_hz=30.0)
    change_rate(Dataset.open(tmp_path / "a"), 3, tmp_path / "out")
    even, uneven = Dataset.open(tmp_path / "out").demonstrations
    assert (even.meta.frame_rate_hz, uneven.meta.frame_rate_hz) == (10.0, None)
    np.testing.assert_allclose(even.camera_delta[:, 0], [0.03, 0.03, 0.01], atol=1e-6)
    for every in (1, 0, -2, 10_000):
        with pytest.raises(DatasetError, match=f"every {every}; allowed: 2"):
            change_rate(Dataset.open(tmp_path / "a"), every, tmp_path / "refused")


def test_unit_vectors_stay_unit_vectors(tmp_path: Path) -> None:
    dataset = written(tmp_path / "a", ("x",), 2, ActionScale.UNIT)
    change_rate(dataset, 3, tmp_path / "out")
    length = np.linalg.norm(Dataset.open(tmp_path / "out").demonstrations[0].camera_delta, axis=1)
    assert np.all((length == 0) | (np.abs(length - 1) < 1e-3))


def test_missing_steps_are_not_bridged_and_stay_missing(tmp_path: Path) -> None:
    count = 9
    provenance = {
        "steps": [0, 1, 2, 3, 6, 7, 8, 9, 10],
        "dropped": [{"step": 4, "reason": "jump"}, {"step": 5, "reason": "idle"}],
        "task_of_frame": [0] * 6 + [1] * 3,
    }
    meta = DemonstrationMeta(
        name="x",
        task="t",
        camera=CameraInfo(name="c", width_px=SIDE_PX, height_px=SIDE_PX),
        provenance=provenance,
    )
    frames = list(np.random.default_rng(1).integers(0, 256, (count, SIDE_PX, SIDE_PX, 3), np.uint8))
    write_demonstration(tmp_path / "a", meta, frames, np.full((count, 3), 0.01), np.zeros(count))
    dataset = Dataset.open(tmp_path / "a")
    assert missing_after(meta) == {3}
    change_rate(dataset, 3, tmp_path / "slow")
    (slow,) = Dataset.open(tmp_path / "slow").demonstrations
    # 0 1 2 | 3 | 4 5 | 6 7 8: the gap is behind 3, another task begins at 6.
    np.testing.assert_allclose(slow.camera_delta[:, 0], [0.03, 0.01, 0.02, 0.03], atol=1e-6)
    assert missing_after(slow.meta) == {1}
    assert slow.meta.provenance["task_of_frame"] == [0, 0, 0, 1]
    trim(dataset, "x", 2, 7, tmp_path / "cut")
    (cut,) = Dataset.open(tmp_path / "cut").demonstrations
    assert missing_after(cut.meta) == {1}
    assert cut.meta.provenance["task_of_frame"] == [0] * 4 + [1] * 2


def test_the_commands_say_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = written(tmp_path / "a", ("x", "y"), 1)
    lost = len(dataset.demonstrations[0])
    source, out = str(tmp_path / "a"), str(tmp_path / "out")
    assert run(["demos", "delete", source, "x", "--out", out]) == 0
    said = f"1 demonstrations, {dataset.frame_count - lost} frames, {lost} frames left out"
    assert said in capsys.readouterr().out.replace("\n", " ")
    refused: list[tuple[list[str], str]] = [
        (["delete", source, "x", "--out", out], "exists already"),
        (["merge", source, "--out", out + "2"], "2 or more"),
        (["trim", source, "--out", out + "2"], "--still"),
        (["trim", source, "--still", "--last", "3", "--out", out + "2"], "--still alone"),
        (["trim", source, "--name", "z", "--last", "3", "--out", out + "2"], "'z'"),
        (["change-rate", source, "--every", "1", "--out", out + "2"], "every 1"),
    ]
    for command, why in refused:
        assert run(["demos", *command]) == 2
        assert why in capsys.readouterr().err
    assert not (tmp_path / "out2").exists()
    assert run(["demos", "trim", source, "--still", "--out", out + "3"]) == 0
    assert run(["demos", "change-rate", source, "--every", "2", "--out", out + "4"]) == 0
