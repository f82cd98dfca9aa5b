"""The head that finds grasp points, in NumPy: what it computes, its loss, and its derivative.

fine  F, coarse C     differences of the feature maps at strides 8 and 16
M = relu(conv3(relu(F Wf + up(C Wc))))                       where things are
logits = M Wh                                                of each phase and of the hand
D = up(conv(relu(conv3(relu(conv3(relu([C Wd, down(M)])))))) depth and its log spread
depth = sum over cells of softmax(logits) * D
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.learning.grasp.layers import (
    Array,
    differences,
    doubled,
    doubled_backward,
    halved,
    halved_backward,
    log_softmax,
    matmul,
    matmul_gradient,
    patches,
    patches_backward,
)
from vinn.policies.grasp.detector import DEPTH_VALUES

DROPPED = 0.2
"""Share of the depth's hidden values that a training step leaves out."""
DEPTH_WEIGHT = 0.5


@dataclass(frozen=True)
class Batch:
    """What one step learns from; N views, maps of R x S and R/2 x S/2 cells.

    Attributes:
        fine: (N, R, S, C) feature map at stride 8.
        coarse: (N, R/2, S/2, C') at stride 16.
        target: (N, R * S) shares of the cells around the point.
        hand: (N, R * S) those around the hand.
        log_depth: (N,) of the point.
        phases: (N,) rows of the detector's phases.
    """

    fine: Array
    coarse: Array
    target: Array
    hand: Array
    log_depth: Array
    phases: NDArray[np.int64]


@dataclass(frozen=True)
class _Pass:
    """What the way back needs of the way forth."""

    fine: Array
    coarse: Array
    near: Array
    around: Array
    mixed: Array
    blocks: Array
    joined: Array
    around_joined: Array
    first: Array
    around_first: Array
    second: Array
    logits: Array
    depth: Array


class GraspHead:
    """The head's parameters and what it makes of feature maps.

    Args:
        channels: of the maps at strides 8 and 16.
        phases: P.
        width: channels within.
        rng: draws the first parameters, uniform within 1 / sqrt(inputs of a value).

    Attributes:
        parameters: by name; of each layer a weight (inputs, outputs) and a bias.
        depth_mean: (P,) of the log depths learned from.
        depth_scale: (P,) their standard deviation.
    """

    def __init__(
        self, channels: tuple[int, int], phases: int, width: int, rng: np.random.Generator
    ) -> None:
        fine, coarse = channels
        sizes = {
            "fine": (fine, width),
            "coarse": (coarse, width),
            "mix": (9 * width, width),
            "heat": (width, phases + 1),
            "from_coarse": (coarse, width),
            "from_mix": (4 * width, width),
            "first": (18 * width, width),
            "second": (9 * width, width),
            "depth": (width, DEPTH_VALUES * phases),
        }
        self.phases = phases
        self.parameters: dict[str, Array] = {}
        for name, (inputs, outputs) in sizes.items():
            bound = inputs**-0.5
            drawn = rng.uniform(-bound, bound, (inputs + 1, outputs)).astype(np.float32)
            self.parameters[f"{name}.weight"] = drawn[:-1].copy()
            self.parameters[f"{name}.bias"] = drawn[-1].copy()
        self.depth_mean = np.zeros(phases, np.float32)
        self.depth_scale = np.ones(phases, np.float32)

    def output(self, fine: Array, coarse: Array) -> Array:
        """(N, D): logits, then log depth and the logarithm of its spread for each phase."""
        found = self._forth(fine, coarse, None)
        shares = np.exp(log_softmax(found.logits[:, :, :-1], axis=1))
        value = np.einsum("ncp,ncpk->npk", shares, found.depth)
        log_depth = value[:, :, 0] * self.depth_scale + self.depth_mean
        log_spread = 0.5 * value[:, :, 1] + np.log(self.depth_scale)
        depth = np.stack([log_depth, log_spread], axis=2)
        logits = found.logits.transpose(0, 2, 1)
        count = len(fine)
        return np.concatenate([logits.reshape(count, -1), depth.reshape(count, -1)], axis=1)

    def loss(self, batch: Batch, kept: Array | None = None) -> tuple[float, dict[str, Array]]:
        """The loss and its derivative by every parameter.

        Cross entropy of where the point and the hand are; likelihood of the depth, which is read
        where the point is and where the head believes it to be.

        Args:
            batch: of N views.
            kept: (N, R/2, S/2, width) what `dropout` drew; None leaves nothing out.
        """
        found = self._forth(batch.fine, batch.coarse, kept)
        count = len(batch.phases)
        row = np.arange(count)
        log_shares = log_softmax(found.logits, axis=1)
        own, hand = log_shares[row, :, batch.phases], log_shares[:, :, -1]
        place = -(batch.target * own).sum() - (batch.hand * hand).sum()

        shares = 0.5 * (np.exp(own) + batch.target)
        value = np.einsum("nc,nck->nk", shares, found.depth[row, :, batch.phases])
        mean, scale = self.depth_mean[batch.phases], self.depth_scale[batch.phases]
        off = (batch.log_depth - mean) / scale - value[:, 0]
        certain = np.exp(-value[:, 1])
        far = 0.5 * (off**2 * certain + value[:, 1]).sum()

        by_value = np.stack([-off * certain, 0.5 - 0.5 * off**2 * certain], axis=1)
        by_depth = np.zeros_like(found.depth)
        by_depth[row, :, batch.phases] = (
            DEPTH_WEIGHT / count * shares[:, :, None] * by_value[:, None, :]
        )
        by_logits = np.zeros_like(found.logits)
        by_logits[row, :, batch.phases] = _by_logits(own, batch.target) / count
        by_logits[:, :, -1] = _by_logits(hand, batch.hand) / count
        total = float(place + DEPTH_WEIGHT * far) / count
        return total, self._back(found, kept, by_logits, by_depth)

    def dropout(self, batch: Batch, rng: np.random.Generator) -> Array:
        """What a step keeps of the depth's hidden values, and how much stronger."""
        shape = (*batch.coarse.shape[:3], self.parameters["first.bias"].shape[0])
        kept: Array = (rng.random(shape, np.float32) >= DROPPED).astype(np.float32)
        return kept / np.float32(1 - DROPPED)

    def _layer(self, name: str, maps: Array) -> Array:
        return matmul(maps, self.parameters[f"{name}.weight"]) + self.parameters[f"{name}.bias"]

    def _forth(self, fine: Array, coarse: Array, kept: Array | None) -> _Pass:
        fine, coarse = differences(fine), differences(coarse)
        near = np.maximum(self._layer("fine", fine) + doubled(self._layer("coarse", coarse)), 0)
        around = patches(near)
        mixed = np.maximum(self._layer("mix", around), 0)
        blocks = halved(mixed)
        sides = [self._layer("from_coarse", coarse), self._layer("from_mix", blocks)]
        joined = np.maximum(np.concatenate(sides, axis=-1), 0)
        around_joined = patches(joined)
        first = np.maximum(self._layer("first", around_joined), 0)
        if kept is not None:
            first = first * kept
        around_first = patches(first)
        second = np.maximum(self._layer("second", around_first), 0)
        depth = doubled(self._layer("depth", second))
        count, cells = len(fine), fine.shape[1] * fine.shape[2]
        return _Pass(
            fine,
            coarse,
            near,
            around,
            mixed,
            blocks,
            joined,
            around_joined,
            first,
            around_first,
            second,
            self._layer("heat", mixed).reshape(count, cells, -1),
            depth.reshape(count, cells, self.phases, DEPTH_VALUES),
        )

    def _back(
        self, found: _Pass, kept: Array | None, by_logits: Array, by_depth: Array
    ) -> dict[str, Array]:
        weights, gradients = self.parameters, dict[str, Array]()

        def learned(name: str, maps: Array, above: Array) -> None:
            gradients[f"{name}.weight"] = matmul_gradient(maps, above)
            gradients[f"{name}.bias"] = above.reshape(-1, above.shape[-1]).sum(axis=0)

        grid = found.fine.shape[:3]
        above = doubled_backward(by_depth.reshape(*grid, -1))
        learned("depth", found.second, above)
        above = matmul(above, weights["depth.weight"].T) * (found.second > 0)
        learned("second", found.around_first, above)
        above = patches_backward(above, weights["second.weight"]) * (found.first > 0)
        if kept is not None:
            above = above * kept
        learned("first", found.around_joined, above)
        above = patches_backward(above, weights["first.weight"]) * (found.joined > 0)
        width = above.shape[-1] // 2
        learned("from_coarse", found.coarse, above[..., :width])
        learned("from_mix", found.blocks, above[..., width:])
        by_mixed = halved_backward(matmul(above[..., width:], weights["from_mix.weight"].T))
        by_heat = by_logits.reshape(*grid, -1)
        learned("heat", found.mixed, by_heat)
        above = (by_mixed + matmul(by_heat, weights["heat.weight"].T)) * (found.mixed > 0)
        learned("mix", found.around, above)
        above = patches_backward(above, weights["mix.weight"]) * (found.near > 0)
        learned("fine", found.fine, above)
        learned("coarse", found.coarse, doubled_backward(above))
        return gradients


def _by_logits(log_shares: Array, target: Array) -> Any:
    """Derivative of -sum(target * log softmax) by the logits, (N, cells) each."""
    return np.exp(log_shares) * target.sum(axis=1, keepdims=True) - target
