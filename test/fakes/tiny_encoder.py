"""An encoder that needs no torch (block means of a 16 x 16 image), and demonstrations for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta
from vinn.encoders.artefact import write_encoder
from vinn.encoders.openvino_runtime import import_openvino
from vinn.encoders.preprocessing import Preprocessing

SIDE_PX = 16
DIMENSION = 48
WIDTH_PX, HEIGHT_PX = 64, 48
STEPS = 8


def tiny_preprocessing(mean: float = 100.0) -> Preprocessing:
    """16 x 16, with a different mean and deviation per channel."""
    return Preprocessing(
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        mean=(mean, mean + 10, mean + 20),
        std=(50.0, 60.0, 70.0),
    )


def write_tiny_encoder(out_dir: Path, gain: float = 1.0, mean: float = 100.0) -> Path:
    """Write an encoder artefact; another `gain` or `mean` is another encoder."""
    openvino = import_openvino()
    import openvino.opset13 as ops

    image = ops.parameter([-1, 3, SIDE_PX, SIDE_PX], openvino.Type.f32, name="image")
    pooled = ops.avg_pool(image, [4, 4], [0, 0], [0, 0], [4, 4], True)
    flat = ops.reshape(pooled, np.array([0, -1]), True)
    scaled = ops.multiply(flat, ops.constant(np.full((1, 1), gain, np.float32)))
    model = openvino.Model([ops.result(scaled)], [image], "tiny")
    return write_encoder(model, "tiny", tiny_preprocessing(mean), out_dir)


def tiny_embedding(image_rgb: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """What the tiny encoder must answer, (48,), by numpy alone."""
    preprocessing = tiny_preprocessing()
    chw = preprocessing.normalise(preprocessing.resize(image_rgb))[0]
    blocks = chw.reshape(3, 4, 4, 4, 4).mean(axis=(2, 4))
    return gain * blocks.reshape(-1)


def square_image(x: float, y: float, size: int = 12) -> np.ndarray:
    """(48, 64, 3) with an orange square at relative position (x, y) in 0..1 on blue."""
    image = np.full((HEIGHT_PX, WIDTH_PX, 3), (30, 60, 120), np.uint8)
    left, top = round(x * (WIDTH_PX - size)), round(y * (HEIGHT_PX - size))
    image[top : top + size, left : left + size] = (220, 140, 40)
    return image


def write_square_demos(root: Path, count: int = 5, seed: int = 0) -> Dataset:
    """Demonstrations in which a square comes to the middle; the gripper closes at the end."""
    rng = np.random.default_rng(seed)
    camera = CameraInfo(name="wrist", width_px=WIDTH_PX, height_px=HEIGHT_PX)
    for index in range(count):
        start = rng.uniform(0, 1, 2)
        path = np.linspace(start, (0.5, 0.5), STEPS)
        images = [square_image(x, y) for x, y in path]
        delta = np.zeros((STEPS, 3))
        delta[:-1, :2] = np.diff(path, axis=0) * 0.1
        delta[:-1, 2] = 0.01
        gripper = [0] * (STEPS - 2) + [2, 3]
        meta = DemonstrationMeta(name=f"square_{index}", task="square", camera=camera)
        write_demonstration(root, meta, images, delta, gripper)
    return Dataset.open(root)
