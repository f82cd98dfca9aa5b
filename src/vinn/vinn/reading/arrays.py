"""NumPy's files; nothing in them is ever unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.errors import VinnError
from vinn.reading.regular import check_regular, open_regular, parsing

_NUMBERS = "biuf"
"""Kinds of `dtype`: truth values, integers and real numbers."""
_BLOCK_ROWS = 4096


def read_npy(path: Path, error: type[VinnError], mapped: bool = False) -> NDArray[Any]:
    """The array of numbers in a .npy file, in memory or mapped from disk.

    Raises:
        VinnError (as `error`): see `open_regular`; or malformed, truncated, of another type, or an
            archive under this name.
    """
    check_regular(path, error)
    with parsing(path, error, "a NumPy array"):
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array.close()
            raise error(f"{path}: an archive of arrays; allowed: one array (.npy)")
        _check_numbers(array, str(path), error)
        return array


def read_npz(
    path: Path, error: type[VinnError], names: Sequence[str] | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of numbers in a .npz file, by name.

    Args:
        path: of the file.
        error: what is raised.
        names: which arrays; None: all.

    Raises:
        VinnError (as `error`): see `open_regular`; or malformed, truncated, of another type, a
            single array under this name, or a name is missing.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with open_regular(path, error) as file, parsing(path, error, "an archive of NumPy arrays"):
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise error(f"{path}: one array; allowed: an archive of arrays (.npz)")
        with archive:
            for name in archive.files if names is None else names:
                if name not in archive.files:
                    raise error(f"{path}: the array '{name}' is missing")
                arrays[name] = archive[name]
                if not isinstance(arrays[name], np.ndarray):
                    raise error(f"{path}: '{name}' is no array")
                _check_numbers(arrays[name], f"{path}: '{name}'", error)
    return arrays


def check_finite(array: NDArray[Any], what: Path | str, error: type[VinnError]) -> None:
    """Refuse NaN and infinity in an array of N rows, which may be mapped from disk.

    Raises:
        VinnError (as `error`): names `what`, the first such row and its value.
    """
    for start in range(0, len(array), _BLOCK_ROWS):
        block = array[start : start + _BLOCK_ROWS]
        if not np.isfinite(block).all():
            row = int(np.flatnonzero(~np.isfinite(block).reshape(len(block), -1).all(axis=1))[0])
            value = block[row].reshape(-1)
            first = value[~np.isfinite(value)][0]
            raise error(f"{what}: row {start + row} holds {first}; allowed: finite numbers")


def _check_numbers(array: NDArray[Any], what: str, error: type[VinnError]) -> None:
    if array.dtype.kind not in _NUMBERS:
        raise error(f"{what}: holds {array.dtype}; allowed: numbers")
