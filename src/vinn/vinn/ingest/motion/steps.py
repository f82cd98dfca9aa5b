"""From two mappers' camera paths to actions, each with a verdict: the quality gate.

The action of step i is the motion of the camera centre from frame i to frame i+1, seen in the
optical frame of frame i: ``R_camera_from_world[i] @ (C[i+1] - C[i])``. Differences of the
world-to-camera translation vector are something else, and so are pairs across a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.ingest.motion.mappers import Mapping
from vinn.ingest.motion.sfm import Reconstruction


class StepReason(str, Enum):
    """Why a step was kept or dropped."""

    KEPT = "kept"
    GAP = "gap"
    """A frame between its ends is missing in the video."""
    BLURRED = "blurred"
    UNREGISTERED = "unregistered"
    """A mapper did not place one of its ends."""
    FEW_POINTS = "few_points"
    """One of its ends sees too few triangulated points."""
    MOVING_SCENE = "moving_scene"
    """Much of the picture contradicts the path: it follows something that moves by itself."""
    DISAGREEMENT = "disagreement"
    """The two mappers say different things."""
    JUMP = "jump"
    """Far longer than the clip's other steps."""
    IDLE = "idle"
    """Neither camera nor gripper moved."""


@dataclass(frozen=True)
class GateSettings:
    """Limits of the quality gate (docs/ingest.md says where they come from).

    Attributes:
        min_agreement: cosine between the two mappers' directions of a step.
        max_length_difference: between the two mappers' lengths of a step, as a share of the
            clip's typical step.
        static_fraction: a step shorter than this share of the typical one is no motion.
        jump_factor: a step longer than this many typical ones is a jump.
        min_consistent: share of the picture that a step must explain (`consistency`).
        min_observations: triangulated points that each end of a step sees.
        min_relative_sharpness: of each end, against the clip's median.
        min_registered: share of the clip's frames that both mappers place.
        min_agreeing: share of the clip's assessed steps on which the mappers agree. Below it,
            those that agree may do so by chance.
        min_kept: share of the clip's steps that are kept.
    """

    min_agreement: float = 0.98
    max_length_difference: float = 0.5
    static_fraction: float = 0.12
    jump_factor: float = 4.0
    min_consistent: float = 0.5
    min_observations: int = 25
    min_relative_sharpness: float = 0.35
    min_registered: float = 0.7
    min_agreeing: float = 0.7
    min_kept: float = 0.5


@dataclass(frozen=True)
class Step:
    """One step of a clip, from action frame `index` to `index + 1`.

    Attributes:
        index: counted from the clip's start.
        frame: row of its first frame among the clip's sampled frames; None in a gap.
        reason: KEPT, or why not.
        camera_delta: unit vector in the optical frame of its first frame, or zeros for no motion.
        length: against the clip's typical step; NaN where unknown.
        agreement: cosine between the mappers; NaN where unknown or for no motion.
        consistent: share of the picture that it explains; NaN where unknown.
        observations: the smaller count of its two ends.
        relative_sharpness: the smaller of its two ends.
    """

    index: int
    frame: int | None
    reason: StepReason
    camera_delta: tuple[float, float, float]
    length: float
    agreement: float
    consistent: float
    observations: int
    relative_sharpness: float

    @property
    def kept(self) -> bool:
        """True if the step may enter a dataset."""
        return self.reason is StepReason.KEPT

    @property
    def moves(self) -> bool:
        """False for a step in which the camera stood still."""
        return any(self.camera_delta)


@dataclass(frozen=True)
class Assessment:
    """Steps of a clip and the verdict on the whole.

    Attributes:
        steps: in order.
        failure: one line that says why the clip is rejected; None if it is accepted.
        figures: what the verdict stands on, by name.
    """

    steps: tuple[Step, ...]
    failure: str | None
    figures: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "steps": [{**asdict(step), "reason": step.reason.value} for step in self.steps],
            "failure": self.failure,
            "figures": self.figures,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Assessment:
        """What `to_json` made."""
        steps = tuple(
            Step(
                **{
                    **step,
                    "reason": StepReason(step["reason"]),
                    "camera_delta": tuple(step["camera_delta"]),
                }
            )
            for step in content["steps"]
        )
        return cls(steps, content["failure"], content["figures"])


def step_rows(slots: Sequence[int], frames_per_step: int) -> dict[int, tuple[int, int]]:
    """Step index to the rows of its first and last frame, for steps without a gap.

    Args:
        slots: N sample times, counted in sampling periods; a gap in the video skips some.
        frames_per_step: sampling periods in a step.
    """
    row = {slot: index for index, slot in enumerate(slots)}
    found = {}
    for index in range(step_count(slots, frames_per_step)):
        begin = index * frames_per_step
        if all(slot in row for slot in range(begin, begin + frames_per_step + 1)):
            found[index] = (row[begin], row[begin + frames_per_step])
    return found


def step_count(slots: Sequence[int], frames_per_step: int) -> int:
    """Steps of a clip, gaps counted."""
    return max(slots, default=0) // frames_per_step


def camera_deltas(mapping: Mapping, rows: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """(M, 3) motion of the camera centre per step in the optical frame of its first frame.

    In units of the typical step of its segment (every segment has its own scale); NaN where an end
    is not placed or the ends lie in different segments.
    """
    starts, ends = np.array(rows, np.int64).reshape(-1, 2).T
    motion = mapping.world_centre[ends] - mapping.world_centre[starts]
    deltas = np.einsum("nij,nj->ni", mapping.camera_from_world[starts], motion)
    deltas[mapping.segment[starts] != mapping.segment[ends]] = np.nan
    for segment in np.unique(mapping.segment[starts]):
        own = mapping.segment[starts] == segment
        lengths = np.linalg.norm(deltas[own], axis=1)
        known = lengths[np.isfinite(lengths)]
        # The 75th percentile: up to half of the steps may be waiting for the gripper.
        typical = float(np.percentile(known, 75)) if len(known) else 0.0
        deltas[own] = deltas[own] / typical if typical > 0 else np.nan
    return np.asarray(deltas)


def assess(
    slots: Sequence[int],
    frames_per_step: int,
    sharpness: Sequence[float],
    reconstruction: Reconstruction,
    consistent: NDArray[np.float64],
    settings: GateSettings,
) -> Assessment:
    """Judge each step of a clip of N sampled frames, and the clip.

    Args:
        slots: N sample times, see `step_rows`.
        frames_per_step: sampling periods in a step.
        sharpness: N values, see `vinn.ingest.sharpness`.
        reconstruction: of the N frames, for the M steps of `step_rows`.
        consistent: (M,) share of the picture that each step explains.
        settings: limits.
    """
    rows = step_rows(slots, frames_per_step)
    relative = np.asarray(sharpness) / max(float(np.median(sharpness)), 1e-9)
    mappings = (reconstruction.incremental, reconstruction.global_)
    first, second = (camera_deltas(m, list(rows.values())) for m in mappings)
    judged: dict[int, Step] = {}
    for k, (index, ends) in enumerate(rows.items()):
        evidence = _Evidence(
            bool(reconstruction.still[k]),
            first[k],
            second[k],
            float(consistent[k]),
            min(int(m.observations[list(ends)].min()) for m in mappings),
            float(relative[list(ends)].min()),
        )
        judged[index] = _judge(index, ends[0], evidence, settings)
    row_of_slot = {slot: row for row, slot in enumerate(slots)}
    unknown = float("nan")
    steps = tuple(
        judged.get(i)
        or Step(
            i,
            row_of_slot.get(i * frames_per_step),
            StepReason.GAP,
            (0.0, 0.0, 0.0),
            unknown,
            unknown,
            unknown,
            0,
            unknown,
        )
        for i in range(step_count(slots, frames_per_step))
    )
    return _clip_verdict(steps, mappings, len(slots), settings)


@dataclass(frozen=True)
class _Evidence:
    """What is known of one step: see `Step`; `first` and `second` are the mappers' deltas."""

    still: bool
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    consistent: float
    observations: int
    relative_sharpness: float


def _judge(index: int, frame: int, seen: _Evidence, settings: GateSettings) -> Step:
    lengths = np.linalg.norm([seen.first, seen.second], axis=1)
    length, agreement, delta = float(lengths.mean()), float("nan"), np.zeros(3)
    reason = StepReason.KEPT
    if seen.still:
        length = 0.0
    elif not np.isfinite(lengths).all():
        reason = StepReason.UNREGISTERED
    elif seen.observations < settings.min_observations:
        reason = StepReason.FEW_POINTS
    elif lengths.max() >= settings.static_fraction:
        agreement = float(seen.first @ seen.second / max(lengths[0] * lengths[1], 1e-12))
        both = seen.first / max(lengths[0], 1e-12) + seen.second / max(lengths[1], 1e-12)
        delta = both / max(float(np.linalg.norm(both)), 1e-12)
        apart = abs(float(lengths[0] - lengths[1]))
        if agreement < settings.min_agreement or apart > settings.max_length_difference:
            reason = StepReason.DISAGREEMENT
        elif not seen.consistent >= settings.min_consistent:
            reason = StepReason.MOVING_SCENE
        elif length > settings.jump_factor:
            reason = StepReason.JUMP
    if reason is StepReason.KEPT and seen.relative_sharpness < settings.min_relative_sharpness:
        reason = StepReason.BLURRED
    return Step(
        index,
        frame,
        reason,
        (float(delta[0]), float(delta[1]), float(delta[2])),
        length,
        agreement,
        seen.consistent,
        seen.observations,
        seen.relative_sharpness,
    )


_COMPARED = (StepReason.KEPT, StepReason.DISAGREEMENT, StepReason.MOVING_SCENE)


def _clip_verdict(
    steps: tuple[Step, ...],
    mappings: tuple[Mapping, Mapping],
    frames: int,
    settings: GateSettings,
) -> Assessment:
    registered = np.logical_and(*(m.registered for m in mappings))
    assessed = [s for s in steps if s.reason in _COMPARED]
    agreeing = sum(step.kept for step in assessed) / max(len(assessed), 1)
    kept = sum(step.kept for step in steps)
    agreements = [s.agreement for s in steps if np.isfinite(s.agreement)]
    consistent = [s.consistent for s in steps if np.isfinite(s.consistent)]
    figures = {
        "frames": float(frames),
        "steps": float(len(steps)),
        "kept_steps": float(kept),
        "registered": float(registered.mean()) if frames else 0.0,
        "agreeing": float(agreeing),
        "median_consistent": float(np.median(consistent)) if consistent else float("nan"),
        "median_agreement": float(np.median(agreements)) if agreements else float("nan"),
        "median_observations": float(np.median([m.observations for m in mappings])),
        "reprojection_error_px": max(m.reprojection_error_px for m in mappings),
        **{f"models_{m.mapper}": float(m.models) for m in mappings},
        **{f"points_{m.mapper}": float(m.points) for m in mappings},
    }
    failure = None
    without = [m.mapper for m in mappings if m.models == 0]
    if not steps:
        failure = f"{frames} frames are not even one step"
    elif without:
        failure = (
            f"no reconstruction by the {' and the '.join(without)} mapper: too little texture or "
            "motion, or the wrong camera profile"
        )
    elif figures["registered"] < settings.min_registered:
        failure = (
            f"only {figures['registered']:.0%} of the frames placed by both mappers, "
            f"{settings.min_registered:.0%} needed"
        )
    elif agreeing < settings.min_agreeing:
        failure = (
            f"the two mappers agree, on one rigid scene, for only {agreeing:.0%} of the steps, "
            f"{settings.min_agreeing:.0%} needed"
        )
    elif kept < settings.min_kept * len(steps):
        failure = f"only {kept} of {len(steps)} steps kept, {settings.min_kept:.0%} needed"
    return Assessment(steps, failure, figures)
