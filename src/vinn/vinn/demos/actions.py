"""What an action may be: finite, of a plausible length, with one of four gripper states."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vinn.demos.types import ActionScale
from vinn.errors import VinnError

LONGEST_STEP_M = 1.0
"""A hand or a gripper does not go further between two frames; a longer step is damage, or another
unit (millimetres, say)."""
UNIT_NORM_TOLERANCE = 1e-3


def checked_actions(
    camera_delta: ArrayLike,
    gripper: ArrayLike,
    scale: ActionScale,
    what: str,
    error: type[VinnError],
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Translations (T, 3) in `scale` and gripper states (T,) as arrays.

    Raises:
        VinnError (as `error`): another shape, not finite, a state other than 0..3, a metric step
            above `LONGEST_STEP_M`, or a unit step whose length is neither 1 nor 0.
    """
    # What is too large for single precision becomes infinite, and is refused as that.
    with np.errstate(over="ignore"):
        delta = np.asarray(camera_delta, np.float32)
    states = np.asarray(gripper)
    if delta.ndim != 2 or delta.shape[1] != 3 or states.shape != (len(delta),):
        raise error(
            f"{what}: expected actions (T, 3) and gripper (T,), got {delta.shape} and "
            f"{states.shape}"
        )
    if not np.isfinite(delta).all():
        row = int(np.flatnonzero(~np.isfinite(delta).all(axis=1))[0])
        raise error(f"{what}: action {row} is not finite: {delta[row].tolist()}")
    if not np.isin(states, (0, 1, 2, 3)).all():
        row = int(np.flatnonzero(~np.isin(states, (0, 1, 2, 3)))[0])
        raise error(f"{what}: gripper state {row} is {states[row]}; allowed: 0, 1, 2, 3")
    length = np.linalg.norm(delta.astype(np.float64), axis=1)
    if scale is ActionScale.UNIT:
        wrong = (np.abs(length - 1) > UNIT_NORM_TOLERANCE) & (length > 0)
        allowed = "scale 'unit' allows 1 or 0"
    else:
        wrong = length > LONGEST_STEP_M
        allowed = f"scale 'metric' allows at most {LONGEST_STEP_M:g} m between two frames"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise error(f"{what}: action {row} has length {length[row]:.4g}; {allowed}")
    return delta, states.astype(np.int8)
