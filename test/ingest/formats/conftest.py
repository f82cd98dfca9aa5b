"""A dataset of this project, to export and to damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from original_files import picture
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    for number, length in enumerate((3, 5)):
        meta = DemonstrationMeta(
            name=f"demo-{number}",
            task=f"task {number % 2}",
            camera=CameraInfo(name="wrist", width_px=64, height_px=48, fx_px=50.0),
            frame_rate_hz=4.0,
            provenance={"seed": number, "where": "küche"},
        )
        delta = rng.normal(0, 0.02, (length, 3)).astype(np.float32)
        write_demonstration(
            tmp_path / "own",
            meta,
            [picture(10 * number + i) for i in range(length)],
            delta,
            rng.integers(0, 4, length),
        )
    return Dataset.open(tmp_path / "own")
