from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from vinn.demos.store import Dataset
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import DatasetError
from vinn.learning import frames as module
from vinn.learning.augmentation import RandomViews
from vinn.learning.config import AugmentationConfig
from vinn.learning.frames import Embedded, Frames, FramesWithTargets, Targets, TwoViews

SIZE = Preprocessing(width_px=24, height_px=16)
SQUARE = Preprocessing(width_px=24, height_px=24)
"""Of which a crop of all of the area is the frame itself."""
FRAME_BYTES = 24 * 16 * 3


def paths_of(dataset: Dataset) -> list[Path]:
    return [path for d in dataset.demonstrations for path in d.frame_paths]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file is read."""
    counted: Counter[Path] = Counter()
    read = module.read_frame

    def counting(path: Path) -> np.ndarray:
        counted[path] += 1
        return read(path)

    monkeypatch.setattr(module, "read_frame", counting)
    return counted


def test_each_frame_is_decoded_once(squares: Dataset, reads: Counter[Path]) -> None:
    paths = paths_of(squares)
    frames = Frames(paths, SIZE)
    first = frames.batch([3, 0, 5])
    assert first.shape == (3, 3, 16, 24)
    assert first.dtype == torch.uint8
    torch.testing.assert_close(frames.batch([5, 3, 0, 3])[[1, 2, 0]], first)
    assert dict(reads) == {paths[index]: 1 for index in (0, 3, 5)}
    for index in (0, 3, 5):
        expected = SIZE.resize(module.read_frame(paths[index]))
        np.testing.assert_array_equal(frames.batch([index])[0].permute(1, 2, 0), expected)


@pytest.mark.parametrize(("spare_bytes", "read"), [(0, 1), (-1, 2)])
def test_frames_that_do_not_all_fit_are_read_each_time(
    squares: Dataset, reads: Counter[Path], spare_bytes: int, read: int
) -> None:
    paths = paths_of(squares)
    frames = Frames(paths, SIZE, len(paths) * FRAME_BYTES + spare_bytes)
    torch.testing.assert_close(frames.batch([2, 7]), frames.batch([2, 7]))
    assert dict(reads) == {paths[2]: read, paths[7]: read}


def test_a_change_of_a_batch_changes_no_frame(squares: Dataset) -> None:
    frames = Frames(paths_of(squares), SIZE)
    before = frames.batch([1, 2]).clone()
    frames.batch([1, 2]).zero_()
    torch.testing.assert_close(frames.batch([1, 2]), before)


def test_a_damaged_frame_is_named_again_each_time(squares: Dataset, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"no image")
    frames = Frames([*paths_of(squares), damaged], SIZE)
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"damaged\.jpg"):
            frames.batch([0, squares.frame_count])


@pytest.mark.parametrize(("workers", "plain"), [(0, False), (1, False), (0, True)])
def test_batches_keep_frames_and_targets_together(
    squares: Dataset, workers: int, plain: bool
) -> None:
    paths = paths_of(squares)
    count = len(paths)
    targets = Targets(np.arange(3 * count, dtype=np.float32).reshape(-1, 3), np.arange(count), 1.0)
    still = AugmentationConfig(
        crop_scale_min=1.0, jitter_probability=0, gray_probability=0, blur_probability=0
    )
    views = RandomViews(still, SQUARE)
    data = FramesWithTargets(Frames(paths, SQUARE), targets, views.plain if plain else views)
    loader = DataLoader(
        data, batch_size=5, shuffle=True, num_workers=workers, collate_fn=lambda batch: batch
    )
    seen = []
    for images, camera_delta, gripper in loader:
        assert len(images) == len(camera_delta) == len(gripper)
        for image, delta, index in zip(images, camera_delta, gripper.tolist(), strict=True):
            torch.testing.assert_close(delta, targets.camera_delta[index])
            expected = torch.from_numpy(SQUARE.resize(module.read_frame(paths[index])))
            torch.testing.assert_close(image, expected.permute(2, 0, 1).float(), atol=1e-3, rtol=0)
            seen.append(index)
    assert sorted(seen) == list(range(count))


def test_embeddings_come_with_their_targets() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(9, 4)).astype(np.float32)
    targets = Targets(rng.normal(size=(9, 3)).astype(np.float32), np.arange(9), 2.0)
    found, camera_delta, gripper = Embedded(embeddings, targets).__getitems__([4, 8])
    np.testing.assert_array_equal(found, embeddings[[4, 8]])
    torch.testing.assert_close(camera_delta, targets.camera_delta[[4, 8]])
    assert gripper.tolist() == [4, 8]


def test_two_views_are_of_the_same_frames_and_differ(squares: Dataset) -> None:
    torch.manual_seed(0)
    crops = AugmentationConfig(jitter_probability=0, gray_probability=0, blur_probability=0)
    data = TwoViews(Frames(paths_of(squares), SIZE), RandomViews(crops, SIZE))
    first, second = data.__getitems__([0, 6, 12, 18])
    assert first.shape == second.shape == (4, 3, 16, 24)
    assert not torch.equal(first, second)
    # A red square on dark noise: the brightest place of a frame is bright in both views.
    distances = torch.cdist(first.mean((2, 3)), second.mean((2, 3)))
    assert distances.diagonal().mean() < distances.mean()
