"""A camera's node as a process, with pictures from a folder."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from vinn_ros.bringup import graph
from vinn_ros.bringup.graph import NodeSpec


def write_frames(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        picture = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i:03d}.png"), picture)


def camera_specs(folder: Path, **parameters: object) -> list[NodeSpec]:
    settings = {"source": str(folder), "rate_hz": 50.0, **parameters}
    return [NodeSpec("wrist_camera", "wrist_camera", (), settings)]


def environment() -> dict[str, str]:
    """Of processes in the domain of the `ros` fixture."""
    return {**graph.environment("sim"), "ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
