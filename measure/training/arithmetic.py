"""What the arithmetic of training costs at best: operations of a step, and the rate of products."""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode
from vinn.learning.backbones import build_backbone
from vinn.learning.config import BackboneConfig

GIGA = 1e9
SIDE = 2048
REPEATS = 5


def byol_gflop(name: str, image_px: int, batch: int) -> float:
    """Of the backbone in a step of BYOL, per frame: twice forth and back, twice forth [GFLOP].

    A multiplication and an addition count as two.
    """
    backbone = build_backbone(BackboneConfig(name=name, weights="random", image_px=image_px))
    images = torch.randn(batch, 3, image_px, image_px)
    with FlopCounterMode(display=False) as forth, torch.no_grad():
        backbone.features(images)
    # Back is twice forth, nearly: torch counts gradients of depthwise layers as if of dense ones.
    return 2 * (3 + 1) * forth.get_total_flops() / batch / GIGA


def product_gflop_s(precision: str, threads: int) -> float:
    """Best rate of a product of two square matrices [GFLOP/s]; `float32` or `bfloat16`."""
    torch.set_num_threads(threads)
    matrix = torch.randn(SIDE, SIDE).to(getattr(torch, precision))
    times_s = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        matrix @ matrix
        times_s.append(time.perf_counter() - started_s)
    return 2 * SIDE**3 / min(times_s) / GIGA
