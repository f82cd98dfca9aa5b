"""Torch datasets over demonstrations: random views for self-supervision, pairs for cloning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset

from vinn.demos.frames import read_frame
from vinn.encoders.preprocessing import Preprocessing
from vinn.learning.augmentation import RandomView


def load_image(path: Path, preprocessing: Preprocessing) -> torch.Tensor:
    """One frame, cropped and resized for a network: (3, height, width) uint8 RGB.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    image_rgb = preprocessing.resize(read_frame(path))
    return torch.from_numpy(image_rgb).permute(2, 0, 1)


class TwoViews(TorchDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Two independent random views of each frame."""

    def __init__(
        self, frame_paths: Sequence[Path], preprocessing: Preprocessing, view: RandomView
    ) -> None:
        self._paths = tuple(frame_paths)
        self._preprocessing = preprocessing
        self._view = view

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = load_image(self._paths[index], self._preprocessing)
        return self._view(image), self._view(image)


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


class AugmentedFrames(TorchDataset[Batch]):
    """A random view of each frame, with its target."""

    def __init__(
        self,
        frame_paths: Sequence[Path],
        targets: Targets,
        preprocessing: Preprocessing,
        view: RandomView,
    ) -> None:
        self._paths = tuple(frame_paths)
        self._targets = targets
        self._preprocessing = preprocessing
        self._view = view

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Batch:
        image = load_image(self._paths[index], self._preprocessing)
        return (
            self._view(image),
            self._targets.camera_delta[index],
            self._targets.gripper[index],
        )


class Embedded(TorchDataset[Batch]):
    """Embeddings of a frozen encoder with their targets; batches are cut in one piece."""

    def __init__(self, embeddings: NDArray[np.float32], targets: Targets) -> None:
        self._embeddings = torch.from_numpy(embeddings)
        self._targets = targets

    def __len__(self) -> int:
        return len(self._embeddings)

    def __getitem__(self, index: int) -> Batch:
        return (
            self._embeddings[index],
            self._targets.camera_delta[index],
            self._targets.gripper[index],
        )
