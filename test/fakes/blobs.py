"""Demonstrations whose action is plain to see: towards a bright blob."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta

SIDE_PX = 32


def write_blobs(root: Path, count: int, seed: int) -> Dataset:
    """Demonstrations of four frames each; the gripper closes step by step."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        frames, deltas = [], []
        for _ in range(4):
            x, y = rng.uniform(4, SIDE_PX - 4, 2)
            rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
            blob = 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 60)
            frame = np.clip(blob[..., None] + rng.normal(30, 2, (SIDE_PX, SIDE_PX, 3)), 0, 255)
            frames.append(frame.astype(np.uint8))
            deltas.append(((x - SIDE_PX / 2) * 1e-3, (y - SIDE_PX / 2) * 1e-3, 0.004))
        meta = DemonstrationMeta(
            name=f"blob_{index:03d}",
            task="blobs",
            camera=CameraInfo(name="test", width_px=SIDE_PX, height_px=SIDE_PX),
        )
        write_demonstration(
            root, meta, frames, np.array(deltas, np.float32), np.array([0, 1, 2, 3], np.int8)
        )
    return Dataset.open(root)
