"""Embeddings in half the memory, where the user's own frames still find the same neighbours."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError
from vinn.retrieval.ranking import compare_rankings

Storage = Literal["float32", "float16"]
"""Types that embeddings are kept in."""
MIN_OVERLAP = 0.98
"""Least share of the ten nearest that must stay when embeddings are rounded to half precision."""


def stored_as(features: NDArray[np.floating], storage: Storage) -> NDArray[np.floating]:
    """Features (N, D) in the type they are stored in.

    Raises:
        ConfigError: a value is too large for half precision.
    """
    with np.errstate(over="ignore"):
        stored = np.asarray(features, dtype=storage)
    if not np.isfinite(stored).all():
        raise ConfigError(
            f"storage: float16 holds values up to {np.finfo(np.float16).max:g}, the embeddings "
            f"reach {float(np.abs(features).max()):g}; leave --half out"
        )
    return stored


def checked_half(
    features: NDArray[np.float32], demonstration_ids: NDArray[np.int64]
) -> tuple[NDArray[np.floating], dict[str, Any]]:
    """Features (N, D) in half precision, and what that does to their ranking.

    Raises:
        ConfigError: too few neighbours stay, or a value is too large.
        DatasetError: fewer than 2 demonstrations, so that nothing can be left out.
    """
    stored = stored_as(features, "float16")
    agreement = compare_rankings(features, stored, demonstration_ids)
    if agreement.overlap < MIN_OVERLAP:
        raise ConfigError(
            f"storage: in half precision {agreement}; allowed: {MIN_OVERLAP:.0%} or more. Leave "
            "--half out"
        )
    return stored, {"overlap": agreement.overlap, "first": agreement.first, "k": agreement.k}
