"""Small multilayer perceptrons at run time, in numpy: a trained head needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactError, ArtefactMismatchError
from vinn.reading.arrays import read_npz

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Mlp:
    """Linear layers with a ReLU between any two.

    Attributes:
        weights: of layer i (outputs, inputs).
        biases: of layer i (outputs,).
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    @property
    def inputs(self) -> int:
        """Length of an input vector."""
        return int(self.weights[0].shape[1])

    @property
    def outputs(self) -> int:
        """Length of an output vector."""
        return int(self.weights[-1].shape[0])

    def __call__(self, x: Array) -> Array:
        """(..., inputs) to (..., outputs)."""
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight.T + bias
            if layer < last:
                x = np.maximum(x, 0)
        return x


def save_heads(path: Path, heads: Mapping[str, Mlp]) -> None:
    """Write named heads to one .npz file of float32 arrays."""
    arrays: dict[str, Array] = {}
    for name, head in heads.items():
        for layer, (weight, bias) in enumerate(zip(head.weights, head.biases, strict=True)):
            arrays[f"{name}.{layer}.weight"] = np.asarray(weight, np.float32)
            arrays[f"{name}.{layer}.bias"] = np.asarray(bias, np.float32)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_heads(path: Path, names: Sequence[str]) -> dict[str, Mlp]:
    """Read heads; nothing in the file is ever unpickled.

    Raises:
        ArtefactError: missing, malformed, a head is missing, or a value is not finite.
        ArtefactMismatchError: layers do not follow from each other; both sizes are named.
    """
    found = read_npz(path, ArtefactError)
    arrays = {key: np.asarray(array, np.float32) for key, array in found.items()}
    heads = {}
    for name in names:
        weights: list[Array] = []
        biases: list[Array] = []
        while f"{name}.{len(weights)}.weight" in arrays:
            layer = len(weights)
            weight, bias = arrays[f"{name}.{layer}.weight"], arrays.get(f"{name}.{layer}.bias")
            if weight.ndim != 2 or bias is None or bias.shape != weight.shape[:1]:
                raise ArtefactMismatchError(f"{path}: layer {layer} of '{name}' is malformed")
            if weights and weights[-1].shape[0] != weight.shape[1]:
                raise ArtefactMismatchError(
                    f"{path}: layer {layer} of '{name}' takes {weight.shape[1]} values, layer "
                    f"{layer - 1} gives {weights[-1].shape[0]}"
                )
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ArtefactError(f"{path}: layer {layer} of '{name}' is not finite")
            weights.append(weight)
            biases.append(bias)
        if not weights:
            raise ArtefactError(f"{path}: head '{name}' is missing")
        heads[name] = Mlp(tuple(weights), tuple(biases))
    return heads
