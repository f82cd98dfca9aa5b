"""What a policy remembers of each demonstration frame besides its embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale

GRIPPER_STATES = 4


@dataclass(frozen=True)
class ActionMemory:
    """Actions of N frames, demonstration after demonstration, frames in order.

    Attributes:
        camera_delta: (N, 3) float32 in `action_scale`.
        gripper: (N,) int8 in 0..3.
        demonstration_ids: (N,) int64, rows of `names`.
        frames: (N,) int32, index of the frame in its demonstration.
        names: of the demonstrations.
        action_scale: unit of `camera_delta`.
    """

    camera_delta: NDArray[np.float32]
    gripper: NDArray[np.int8]
    demonstration_ids: NDArray[np.int64]
    frames: NDArray[np.int32]
    names: tuple[str, ...]
    action_scale: ActionScale

    def __len__(self) -> int:
        return len(self.gripper)

    @classmethod
    def of(cls, dataset: Dataset) -> ActionMemory:
        """The actions of a dataset whose demonstrations all have actions."""
        demonstrations = dataset.demonstrations
        lengths = [len(demonstration) for demonstration in demonstrations]
        return cls(
            camera_delta=np.concatenate([d.camera_delta for d in demonstrations]),
            gripper=np.concatenate([d.gripper for d in demonstrations]),
            demonstration_ids=np.repeat(np.arange(len(lengths), dtype=np.int64), lengths),
            frames=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
            names=tuple(d.meta.name for d in demonstrations),
            action_scale=dataset.action_scale,
        )
