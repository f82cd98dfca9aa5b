"""Torch datasets over demonstrations, cut into batches in one piece.

Random views for self-supervision, pairs for cloning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import get_worker_info

from vinn.demos.frames import read_frame
from vinn.encoders.preprocessing import Preprocessing
from vinn.learning.augmentation import RandomViews

FRAMES_IN_MEMORY_BYTES = 2 << 30
"""Frames are kept where all of them fit in this: 14,000 at 224 pixels, 43,000 at 128."""

T = TypeVar("T")


class BatchedDataset(TorchDataset[T]):
    """A dataset that is asked for a whole batch, not for its samples one by one."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitems__(self, indices: list[int]) -> T:
        raise NotImplementedError


class Frames:
    """Frames cropped and resized for a network, each decoded once where all fit in memory.

    Above `limit_bytes`, and in processes that load for another one, files are read each time.

    Args:
        paths: of the frames.
        preprocessing: the network's input.
        limit_bytes: of all frames together, at that size.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        preprocessing: Preprocessing,
        limit_bytes: int = FRAMES_IN_MEMORY_BYTES,
    ) -> None:
        self._paths = tuple(paths)
        self._preprocessing = preprocessing
        self._shape = (preprocessing.height_px, preprocessing.width_px, 3)
        self._kept: torch.Tensor | None = None
        self._is_kept = np.zeros(len(self._paths), bool)
        self._limit_bytes = limit_bytes

    def __len__(self) -> int:
        return len(self._paths)

    def batch(self, indices: Sequence[int]) -> torch.Tensor:
        """(N, 3, height, width) uint8 RGB, in memory with channels last.

        Raises:
            DatasetError: a file is missing or damaged.
        """
        size_bytes = len(self) * int(np.prod(self._shape))
        if size_bytes > self._limit_bytes or get_worker_info() is not None:
            images = torch.stack([self._read(index) for index in indices])
        else:
            if self._kept is None:
                self._kept = torch.empty((len(self), *self._shape), dtype=torch.uint8)
            for index in indices:
                if not self._is_kept[index]:
                    self._kept[index] = self._read(index)
                    self._is_kept[index] = True
            images = self._kept[list(indices)]
        return images.permute(0, 3, 1, 2)

    def _read(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self._preprocessing.resize(read_frame(self._paths[index])))


class TwoViews(BatchedDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Two independent random views of each frame."""

    def __init__(self, frames: Frames, views: RandomViews) -> None:
        self._frames = frames
        self._views = views

    def __len__(self) -> int:
        return len(self._frames)

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        images = self._frames.batch(indices)
        return self._views(images), self._views(images)


class Targets:
    """What a cloned policy shall say for each frame.

    Args:
        camera_delta: (N, 3) translations.
        gripper: (N,) states 0..3.
        scale: translations are divided by it, in the unit of `camera_delta`.
    """

    def __init__(
        self, camera_delta: NDArray[np.float32], gripper: NDArray[np.int8], scale: float
    ) -> None:
        self.camera_delta = torch.from_numpy(np.asarray(camera_delta / scale, np.float32))
        self.gripper = torch.from_numpy(gripper.astype(np.int64))


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Images (N, 3, H, W) or embeddings (N, D); translations (N, 3); gripper states (N,)."""


class FramesWithTargets(BatchedDataset[Batch]):
    """A view of each frame (`RandomViews`, or its `plain`), with its target."""

    def __init__(
        self,
        frames: Frames,
        targets: Targets,
        views: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self._frames = frames
        self._targets = targets
        self._views = views

    def __len__(self) -> int:
        return len(self._frames)

    def __getitems__(self, indices: list[int]) -> Batch:
        return (
            self._views(self._frames.batch(indices)),
            self._targets.camera_delta[indices],
            self._targets.gripper[indices],
        )


class Embedded(BatchedDataset[Batch]):
    """Embeddings of a frozen encoder with their targets."""

    def __init__(self, embeddings: NDArray[np.float32], targets: Targets) -> None:
        self._embeddings = torch.from_numpy(embeddings)
        self._targets = targets

    def __len__(self) -> int:
        return len(self._embeddings)

    def __getitems__(self, indices: list[int]) -> Batch:
        return (
            self._embeddings[indices],
            self._targets.camera_delta[indices],
            self._targets.gripper[indices],
        )
