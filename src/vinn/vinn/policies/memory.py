"""What a policy remembers of each demonstration frame besides its embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.policies.augmentation import ORIGINAL, origin_name, view_delta, view_name
from vinn.policies.types import Neighbor

GRIPPER_STATES = 4


@dataclass(frozen=True)
class ActionMemory:
    """Actions of N frames, demonstration after demonstration, frames in order.

    Attributes:
        camera_delta: (N, 3) float32 in `action_scale`.
        gripper: (N,) int8 in 0..3.
        demonstration_ids: (N,) int64, rows of `names`.
        frames: (N,) int32, index of the frame in its demonstration.
        names: of the demonstrations and their views (`vinn.policies.augmentation`).
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
    def of(cls, dataset: Dataset, views: Sequence[str] = (ORIGINAL,)) -> ActionMemory:
        """The actions of a dataset whose demonstrations all have actions, view after view."""
        demonstrations = dataset.demonstrations
        lengths = [len(demonstration) for demonstration in demonstrations] * len(views)
        camera_delta = np.concatenate([d.camera_delta for d in demonstrations])
        return cls(
            camera_delta=np.concatenate([view_delta(camera_delta, view) for view in views]),
            gripper=np.concatenate([d.gripper for _ in views for d in demonstrations]),
            demonstration_ids=np.repeat(np.arange(len(lengths), dtype=np.int64), lengths),
            frames=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
            names=tuple(view_name(d.meta.name, view) for view in views for d in demonstrations),
            action_scale=dataset.action_scale,
        )

    def only(self, rows: NDArray[np.int64]) -> ActionMemory:
        """Some rows; whole demonstrations, in order."""
        return ActionMemory(
            camera_delta=self.camera_delta[rows],
            gripper=self.gripper[rows],
            demonstration_ids=self.demonstration_ids[rows],
            frames=self.frames[rows],
            names=self.names,
            action_scale=self.action_scale,
        )

    @cached_property
    def origin_ids(self) -> NDArray[np.int64]:
        """(N,) equal for the frames of one demonstration in all its views."""
        _, ids = np.unique([origin_name(name) for name in self.names], return_inverse=True)
        return ids.astype(np.int64)[self.demonstration_ids]

    @cached_property
    def progress(self) -> NDArray[np.float64]:
        """(N,) how far its demonstration has got: 0 at the first frame, 1 at the last."""
        last = np.zeros(len(self.names))
        np.maximum.at(last, self.demonstration_ids, self.frames)
        return self.frames / np.maximum(last[self.demonstration_ids], 1)

    def neighbors(
        self,
        rows: NDArray[np.int64],
        distances: NDArray[np.float64],
        weights: NDArray[np.float64],
    ) -> tuple[Neighbor, ...]:
        """The frames in k rows as a prediction names them."""
        return tuple(
            Neighbor(
                demonstration=self.names[self.demonstration_ids[row]],
                frame=int(self.frames[row]),
                index=int(row),
                distance=float(distance),
                weight=float(weight),
                camera_delta=self.camera_delta[row],
                gripper_state=int(self.gripper[row]),
            )
            for row, distance, weight in zip(rows, distances, weights, strict=True)
        )
