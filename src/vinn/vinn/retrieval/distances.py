"""Squared distances and products of a query with many rows: in the caller's thread, no copies.

NumPy's BLAS would use every processor for products of this size, and its threads keep spinning for
some 25 ms afterwards: beside an encoder's next image that costs far more than it gains. FAISS's own
loops are as fast as BLAS in one thread, need no copy of the rows, and release the interpreter lock.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

_loops: Any = faiss
"""Its stubs do not know these functions."""
_HALF_ROWS = 128
"""Rows in half precision that are widened at a time."""


def squared_distances(rows: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """||row - query||^2 to all rows.

    Each has a relative error of some sqrt(D) roundings: the difference is taken first.

    Args:
        rows: (N, D) float32, C-contiguous; may be mapped from disk.
        query: (D,) float32.

    Returns:
        (N,).

    Raises:
        ValueError: another type or layout: FAISS is given bare pointers.
    """
    query = _checked(rows, query)
    squared = np.empty(len(rows), np.float32)
    _loops.fvec_L2sqr_ny(
        faiss.swig_ptr(squared),
        faiss.swig_ptr(query),
        faiss.swig_ptr(rows),
        rows.shape[1],
        len(rows),
    )
    return squared


def inner_products(rows: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """<row, query> of all rows.

    Args:
        rows: (N, D) float32, C-contiguous.
        query: (D,) float32.

    Returns:
        (N,).

    Raises:
        ValueError: as `squared_distances`.
    """
    query = _checked(rows, query)
    products = np.empty(len(rows), np.float32)
    _loops.fvec_inner_products_ny(
        faiss.swig_ptr(products),
        faiss.swig_ptr(query),
        faiss.swig_ptr(rows),
        rows.shape[1],
        len(rows),
    )
    return products


def squared_distances_to(
    embeddings: NDArray[np.floating], numbers: NDArray[np.int64], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """||row - query||^2 to some rows (n,) of (N, D) embeddings, as `squared_distances`.

    Raises:
        ValueError: as `squared_distances`, or a number is not in 0..N-1.
    """
    squared = np.empty(len(numbers), np.float32)
    if embeddings.dtype != np.float32:
        for start in range(0, len(numbers), _HALF_ROWS):
            block = slice(start, start + _HALF_ROWS)
            squared[block] = squared_distances(embeddings[numbers[block]].astype(np.float32), query)
        return squared
    query = _checked(embeddings, query)
    numbers = np.ascontiguousarray(numbers, np.int64)
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < len(embeddings)):
        raise ValueError(f"row numbers {numbers.min()}..{numbers.max()} of {len(embeddings)} rows")
    # One query is one iteration, but FAISS would wake a team of OpenMP threads for it, and these
    # spin afterwards as BLAS's do. The number is the calling thread's own.
    faiss.omp_set_num_threads(1)
    _loops.fvec_L2sqr_by_idx(
        faiss.swig_ptr(squared),
        faiss.swig_ptr(query),
        faiss.swig_ptr(embeddings),
        faiss.swig_ptr(numbers),
        embeddings.shape[1],
        1,
        len(numbers),
    )
    return squared


def _checked(rows: NDArray[np.floating], query: NDArray[np.float32]) -> NDArray[np.float32]:
    if rows.dtype != np.float32 or rows.ndim != 2 or not rows.flags.c_contiguous:
        raise ValueError(f"rows: {rows.dtype} {rows.shape}; allowed: (N, D) float32, C-contiguous")
    if query.shape != rows.shape[1:]:
        raise ValueError(f"query: {query.shape}; allowed: {rows.shape[1:]}")
    return np.ascontiguousarray(query, np.float32)
