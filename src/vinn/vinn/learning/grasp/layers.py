"""Layers of a small convolutional head in NumPy, each with its derivative.

Maps are (N, rows, columns, C) float32. A convolution is a product with a matrix (k * k * C, out)
whose rows run over rows, columns and channels of the kernel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def matmul(maps: Array, weight: Array) -> Array:
    """Maps (..., C) times (C, out), as one product."""
    flat = maps.reshape(-1, maps.shape[-1]) @ weight
    return flat.reshape(*maps.shape[:-1], weight.shape[1])


def matmul_gradient(maps: Array, above: Array) -> Array:
    """Derivative by the weight of `matmul`, (C, out)."""
    product: Array = maps.reshape(-1, maps.shape[-1]).T @ above.reshape(-1, above.shape[-1])
    return product


def patches(maps: Array) -> Array:
    """The 3 x 3 surroundings of each cell, zeros beyond the edge: (N, rows, columns, 9 * C)."""
    rows, columns = maps.shape[1:3]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [
        padded[:, down : down + rows, right : right + columns]
        for down in range(3)
        for right in range(3)
    ]
    return np.concatenate(shifted, axis=-1)


def patches_backward(above: Array, weight: Array) -> Array:
    """Derivative by the maps of `matmul(patches(maps), weight)`, given that by the result."""
    outside = weight.shape[1]
    turned = weight.reshape(3, 3, -1, outside)[::-1, ::-1].transpose(0, 1, 3, 2)
    return matmul(patches(above), np.ascontiguousarray(turned).reshape(9 * outside, -1))


def halved(maps: Array) -> Array:
    """Blocks of 2 x 2 cells as one: (N, rows / 2, columns / 2, 4 * C)."""
    count, rows, columns, channels = maps.shape
    blocks = maps.reshape(count, rows // 2, 2, columns // 2, 2, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows // 2, columns // 2, 4 * channels)


def halved_backward(above: Array) -> Array:
    """Derivative by the maps of `halved`."""
    count, rows, columns, channels = above.shape
    blocks = above.reshape(count, rows, columns, 2, 2, channels // 4).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(count, 2 * rows, 2 * columns, channels // 4)


def doubled(maps: Array) -> Array:
    """Twice as many cells a side, bilinear between their middles."""
    rows, columns = (_doubling(side) for side in maps.shape[1:3])
    return _both_ways(maps, rows, columns)


def doubled_backward(above: Array) -> Array:
    """Derivative by the maps of `doubled`."""
    rows, columns = (_doubling(side // 2).T for side in above.shape[1:3])
    return _both_ways(above, rows, columns)


def differences(cells: Array) -> Array:
    """How each cell differs from its map's mean, at length one."""
    off = cells - cells.mean(axis=(1, 2), keepdims=True)
    return off / np.sqrt((off**2).sum(axis=3, keepdims=True) + np.float32(1e-6))


def log_softmax(values: Array, axis: int) -> Array:
    """Logarithm of the softmax."""
    off = values - values.max(axis=axis, keepdims=True)
    found: Array = off - np.log(np.exp(off).sum(axis=axis, keepdims=True))
    return found


def _both_ways(maps: Array, rows: Array, columns: Array) -> Array:
    count, _, width, channels = maps.shape
    tall = (rows @ maps.reshape(count, maps.shape[1], -1)).reshape(count, -1, width, channels)
    return np.matmul(columns, tall)


def _doubling(side: int) -> Array:
    """(2 * side, side)"""
    place = np.maximum((np.arange(2 * side) + 0.5) / 2 - 0.5, 0.0)
    lower = np.floor(place).astype(np.int64)
    upper = np.minimum(lower + 1, side - 1)
    found = np.zeros((2 * side, side), np.float32)
    np.add.at(found, (np.arange(2 * side), lower), 1 - (place - lower))
    np.add.at(found, (np.arange(2 * side), upper), place - lower)
    return found
