"""Runs and archives as their makers lay them out."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
from vinn.demos.frames import encode_jpeg


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (4, 4, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_run(folder: Path, labels: object, images: str, names: list[str]) -> None:
    (folder / images).mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / images / name).write_bytes(encode_jpeg(picture(number)))
    (folder / "labels.json").write_text(json.dumps(labels))


def write_r3d(
    path: Path,
    poses: object,
    fps: object = 2,
    extra: str | None = None,
    stamps: list[object] | None = None,
) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        notes = {} if stamps is None else {"frameTimestamps": stamps}
        archive.writestr("metadata", json.dumps({"poses": poses, "fps": fps, **notes}))
        for i in range(len(poses) if isinstance(poses, list) else 0):
            archive.writestr(f"rgbd/{i}.jpg", encode_jpeg(picture(i)))
        if extra is not None:
            archive.writestr(extra, b"x")
    return path
