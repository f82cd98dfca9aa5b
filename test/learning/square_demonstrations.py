"""A dataset that can be learned from in seconds: a bright square, and the way to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta

SIDE_PX = 48
CENTRE_PX = 20


def square_frame(rng: np.random.Generator, x_px: int, y_px: int) -> np.ndarray:
    """Noise with a bright 8-pixel square whose corner is at (x, y)."""
    frame = rng.integers(40, 90, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    frame[y_px : y_px + 8, x_px : x_px + 8] = (230, 40, 40)
    return frame


def write_square_demonstrations(
    root: Path, count: int, seed: int, has_actions: bool = True
) -> Dataset:
    """Demonstrations that walk a square to the centre; the gripper closes in the last two steps."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        x, y = (int(v) for v in rng.integers(0, SIDE_PX - 8, 2))
        frames, deltas, gripper = [], [], []
        for step in range(6):
            frames.append(square_frame(rng, x, y))
            move_x, move_y = (CENTRE_PX - x) // 2, (CENTRE_PX - y) // 2
            deltas.append((-move_x * 0.001, -move_y * 0.001, 0.0))
            gripper.append(0 if step < 4 else 3)
            x, y = x + move_x, y + move_y
        write_demonstration(
            root,
            DemonstrationMeta(
                name=f"square_{index:03d}",
                task="square",
                camera=CameraInfo(name="test", width_px=SIDE_PX, height_px=SIDE_PX),
                has_actions=has_actions,
            ),
            frames,
            np.array(deltas, np.float32) if has_actions else None,
            np.array(gripper, np.int8) if has_actions else None,
        )
    return Dataset.open(root)
