"""What stands out in a rollout, in sentences: the first thing to read on its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.policies.memory import ActionMemory
from vinn.policies.types import Prediction
from vinn.recordings.tracks import RolloutTracks
from vinn.viz.timeline import RolloutTimeline

NOVEL_SHARE = 0.5
"""A rollout of which so much is novel was novel as such."""
SPREAD_LIMIT = 0.15
"""Standard deviation of the neighbours' progress above which they disagree on where it is."""
STUCK_FRAMES = 6
STUCK_PROGRESS = 0.1
SHORT_SHARE = 0.7
"""Sent motion over requested motion below which limits count as having cut steps short."""
HOVER_SHARE = 0.3


@dataclass(frozen=True)
class Finding:
    """One thing that stands out: a heading, and what it means."""

    title: str
    text: str


def findings(
    timeline: RolloutTimeline, tracks: RolloutTracks, memory: ActionMemory | None = None
) -> list[Finding]:
    """What stands out, the most telling first; empty where nothing does.

    Args:
        timeline: predictions of the recording.
        tracks: steps of the same recording.
        memory: of the policy that spoke; None: nothing is said about progress.
    """
    predictions = [recorded.prediction for recorded in timeline.predictions]
    times_s = np.array([(p.recorded_ns - timeline.start_ns) / 1e9 for p in timeline.predictions])
    if not predictions:
        return [Finding("No prediction", "the policy said nothing while this was recorded")]
    found = [_novel(predictions, times_s)]
    if memory is not None:
        place, spread = neighbor_progress(predictions, memory)
        found += [_scattered(spread), _stuck(place, times_s)]
    found += [_gripper_hovers(predictions, tracks), _cut_short(tracks)]
    return [finding for finding in found if finding is not None]


def clock_findings(timeline: RolloutTimeline) -> list[Finding]:
    """Where a clock was set while this was recorded; empty: nowhere."""
    meaning = "ages of images and latencies around it mean nothing"
    return [Finding("The clock was set", f"{jump}; {meaning}") for jump in timeline.jumps]


def neighbor_progress(
    predictions: Sequence[Prediction], memory: ActionMemory
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where in their demonstrations the neighbours stand, 0 first frame .. 1 last: (N,) each.

    Returns:
        Weighted mean and weighted standard deviation; NaN for a prediction without neighbours, or
        whose neighbours are of another memory.
    """
    place = np.full(len(predictions), np.nan)
    spread = np.full(len(predictions), np.nan)
    for i, said in enumerate(predictions):
        rows = np.array([neighbor.index for neighbor in said.neighbors], np.int64)
        if not len(rows) or rows.max() >= len(memory):
            continue
        weights = np.array([neighbor.weight for neighbor in said.neighbors])
        progress = memory.progress[rows]
        place[i] = weights @ progress
        spread[i] = np.sqrt(max(float(weights @ (progress - place[i]) ** 2), 0.0))
    return place, spread


def _novel(predictions: Sequence[Prediction], times_s: NDArray[np.float64]) -> Finding | None:
    novelty = np.array([p.novelty for p in predictions])
    known = np.isfinite(novelty)
    above = known & (novelty > 1)
    if not above.any():
        return None
    share = above.sum() / known.sum()
    first_s = times_s[np.flatnonzero(above)[0]]
    meaning = (
        "this scene is unlike the demonstrations: something is covered, moved, new or lit otherwise"
        if share >= NOVEL_SHARE
        else "these views are unlike the demonstrations"
    )
    return Finding(
        f"Novel views: {above.sum()} of {known.sum()} frames",
        f"novelty is above its limit of 1 (median {np.median(novelty[known]):.2f}, largest "
        f"{novelty[known].max():.2f}), first at {first_s:.1f} s: {meaning}",
    )


def _scattered(spread: NDArray[np.float64]) -> Finding | None:
    known = spread[np.isfinite(spread)]
    if not len(known) or not (known > SPREAD_LIMIT).any():
        return None
    share = float((known > SPREAD_LIMIT).mean())
    return Finding(
        f"Neighbours disagree in {share:.0%} of frames",
        "they stand at different places of their demonstrations (deviation above "
        f"{SPREAD_LIMIT:g}, largest {known.max():.2f}): the mean of their actions fits none",
    )


def _stuck(place: NDArray[np.float64], times_s: NDArray[np.float64]) -> Finding | None:
    """The neighbours' place does not advance over the last frames, and is not the end."""
    known = np.isfinite(place)
    place, times_s = place[known], times_s[known]
    if len(place) < 2 * STUCK_FRAMES or place[-1] > 1 - STUCK_PROGRESS:
        return None
    advanced = np.maximum.accumulate(place)
    final = advanced[-1]
    since = int(np.flatnonzero(advanced > final - STUCK_PROGRESS)[0])
    if len(place) - since < STUCK_FRAMES:
        return None
    return Finding(
        f"No progress since {times_s[since]:.1f} s",
        f"the neighbours stay at {final:.0%} of their demonstrations for the last "
        f"{len(place) - since} frames",
    )


def _gripper_hovers(predictions: Sequence[Prediction], tracks: RolloutTracks) -> Finding | None:
    low, high = tracks.open_below, tracks.close_above
    if low is None or high is None:
        return None
    value = np.array([p.gripper_value for p in predictions])
    between = (value > low) & (value < high)
    if between.mean() < HOVER_SHARE:
        return None
    return Finding(
        f"The gripper hovers in {between.mean():.0%} of frames",
        f"its value is between {low:g} (opens) and {high:g} (closes): half of the neighbours "
        "close, half still approach",
    )


def _cut_short(tracks: RolloutTracks) -> Finding | None:
    wanted = np.array([np.linalg.norm(s.requested_base_delta_m) for s in tracks.steps])
    sent = np.array([np.linalg.norm(s.sent_base_delta_m) for s in tracks.steps])
    if not wanted.sum() > 0 or sent.sum() >= SHORT_SHARE * wanted.sum():
        return None
    return Finding(
        f"Sent {sent.sum() / wanted.sum():.0%} of the requested motion",
        "limits, the step cap or the scale cut steps short; the reasons are among the events",
    )
