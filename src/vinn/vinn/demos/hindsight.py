"""Labels that a demonstration gives away afterwards: where the gripper was going to change.

From a frame i before the gripper closes at frame c, the translations that are still to come add up
to the way to where it closes:

    to_change_i = a_i + a_(i+1) + ... + a_(c-1)

in the camera's optical axes, which keep their direction while the wrist is held. It needs no
annotation, no depth and no robot; with actions of length 1 it is in steps instead of metres. A
frame of a closed hand has the same to where it opens, if it does: a task that sets something down
has two such points. The phase of a frame says how many changes lie behind it: 0 before the first
closing, 1 while it is held, 2 after it was let go.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import Demonstration, DemonstrationMeta, GripperState

STILL_REASONS = ("idle",)
"""Why `vinn ingest` left a step out although nothing moved in it."""


@dataclass(frozen=True)
class Hindsight:
    """What is known of T frames afterwards.

    Attributes:
        to_change: (T, 3) float64, translation of the gripper from each frame to where it changes
            next, camera optical axes, in the actions' scale; NaN where it does not change any more
            or a step on the way is missing.
        phase: (T,) int64, changes between open and closed before each frame.
        changes: frames whose step closes or opens the gripper.
    """

    to_change: NDArray[np.float64]
    phase: NDArray[np.int64]
    changes: tuple[int, ...]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(T,) frames that know where the gripper changes next."""
        known: NDArray[np.bool_] = np.isfinite(self.to_change[:, 0])
        return known


def hindsight(
    camera_delta: NDArray[np.floating],
    gripper: NDArray[np.integer],
    missing_after: Collection[int] = (),
) -> Hindsight:
    """Labels of one demonstration; the gripper is open before its first frame.

    Args:
        camera_delta: (T, 3) actions.
        gripper: (T,) states 0..3 that the steps lead to; almost closed counts as closed.
        missing_after: frames behind which a step was left out in which the hand may have moved.
    """
    closed = np.asarray(gripper) >= GripperState.ALMOST_CLOSED
    changing = [int(frame) for frame in np.flatnonzero(np.diff(closed, prepend=False))]
    to_change = np.full((len(closed), 3), np.nan)
    begin = 0
    for change in changing:
        way = np.zeros(3)
        for frame in range(change, begin - 1, -1):
            if frame in missing_after and frame != change:
                break
            if frame != change:
                way = way + camera_delta[frame]
            to_change[frame] = way
        begin = change + 1
    phase = np.concatenate([[0], np.cumsum(np.isin(np.arange(len(closed)), changing))[:-1]])
    return Hindsight(to_change, phase.astype(np.int64), tuple(changing))


def of_demonstration(demonstration: Demonstration) -> Hindsight:
    """Labels of a demonstration with actions, with the steps that its import left out."""
    return hindsight(
        demonstration.camera_delta, demonstration.gripper, missing_after(demonstration.meta)
    )


def missing_after(meta: DemonstrationMeta) -> frozenset[int]:
    """Frames behind which steps are missing, as `vinn ingest` notes it: `steps` are the numbers of
    those that were kept, `dropped` says why the others were not."""
    steps = meta.provenance.get("steps")
    if not isinstance(steps, list):
        return frozenset()
    dropped = meta.provenance.get("dropped", [])
    still = {
        entry["step"]
        for entry in dropped
        if isinstance(entry, dict) and entry.get("reason") in STILL_REASONS and "step" in entry
    }
    return frozenset(
        frame
        for frame, (step, following) in enumerate(itertools.pairwise(steps))
        if any(number not in still for number in range(step + 1, following))
    )
