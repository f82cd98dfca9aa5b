"""Retrieval that knows where the gripper will close, and what a rollout remembers of it.

Beside its embedding, a demonstration frame is compared by the way to where its gripper changed next
(`vinn.demos.hindsight`) and by its phase:

    z = [e, u w r / sigma, u B p]        u: usual distance of nearest embeddings

so that nearest neighbours, weights and the mean of actions stay the paper's. Of the query's view
`vinn.policies.grasp.filter` says r. B keeps the phases apart: a hand that holds something is
compared with hands that hold something.

After a closing on nothing the closed hand is forgotten, the filter is told that the point is not
there, and the hand first goes back the way it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.demos.hindsight import of_demonstration
from vinn.demos.store import Dataset
from vinn.errors import ArtefactMismatchError
from vinn.policies.augmentation import view_delta
from vinn.policies.grasp.detector import (
    GraspDetector,
    GraspPointManifest,
    GraspView,
    read_grasp_manifest,
)
from vinn.policies.grasp.filter import NO_BELIEF, GraspBelief, GraspFilter, GraspFilterSettings
from vinn.policies.types import GraspPoint, TakenStep
from vinn.retrieval.leave_one_out import neighbors_in_other_demonstrations

PHASE_DISTANCE = 50.0
"""B: frames of other phases are never nearer than any of the same."""
UNKNOWN_DISTANCE = 10.0 * PHASE_DISTANCE
"""Frames of a phase with a grasp point that do not know theirs are not compared with."""
KEY_SIZE = 4

Vector = tuple[float, float, float]


class GraspPointSettings(BaseModel):
    """The switch `grasp_point` of a preset. Lengths in metres."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sigma_m: Vector = (0.012, 0.012, 0.025)
    """Difference of ways (camera right, down, forward) that counts as 1."""
    weight: float = Field(default=1.0, gt=0)
    """w: how much that is, in usual distances of nearest embeddings."""
    stop_short_m: float = Field(default=0.006, ge=-0.05, le=0.05)
    """How far before the believed point the gripper is to close: fingers reach around more before
    the point between their tips than behind it."""
    parallax_sigma_m: float = Field(default=0.012, gt=0)
    """The third of `sigma_m` in phases whose distance parallax tells."""
    parallax_stop_short_m: float = Field(default=0.0, ge=-0.05, le=0.05)
    """`stop_short_m` in such phases."""
    back_off_m: float = Field(default=0.06, ge=0, le=0.3)
    """How far the hand goes back after it closed on nothing."""
    back_off_step_m: float = Field(default=0.03, gt=0, le=0.05)
    lost_m: float = Field(default=0.08, gt=0)
    """A spread of the point above this, sideways or upwards, is no knowledge of it."""
    least_hand_seen: float = Field(default=0.4, ge=0, le=1)
    """A view in which the hand is seen with less probability shows nothing to go by: the lens is
    covered, or the camera looks elsewhere."""
    filter: GraspFilterSettings = GraspFilterSettings()


@dataclass(frozen=True)
class GraspKey:
    """How ways and phases become part of what is compared.

    Attributes:
        sigma: (P, 3) for each phase with a grasp point, in the action scale.
        unit: u w; `phase_unit`: u.
    """

    sigma: NDArray[np.float64]
    unit: float
    phase_unit: float

    def rows(self, to_change: NDArray[np.float64], phase: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, 4) of ways (N, 3) and phases (N,)."""
        pointed = len(self.sigma)
        has_point = phase < pointed
        unknown = has_point & ~np.isfinite(to_change[:, 0])
        way = np.where((has_point & ~unknown)[:, None], np.nan_to_num(to_change), 0.0)
        sigma = self.sigma[np.minimum(phase, pointed - 1)]
        apart = self.phase_unit * (PHASE_DISTANCE * phase + UNKNOWN_DISTANCE * unknown)
        return np.column_stack([self.unit * way / sigma, apart]).astype(np.float32)


def key_labels(
    dataset: Dataset, views: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Ways (N, 3) and phases (N,) of a dataset's frames, view after view, as `ActionMemory.of`."""
    labels = [of_demonstration(demonstration) for demonstration in dataset.demonstrations]
    ways = np.concatenate([label.to_change for label in labels])
    phases = np.concatenate([label.phase for label in labels])
    return (
        np.concatenate([view_delta(ways, view) for view in views]),
        np.concatenate([phases for _ in views]),
    )


@dataclass(frozen=True)
class GraspSource:
    """What a policy with grasp points is built from.

    Attributes:
        detector_dir: written by `vinn train grasp-point`.
        settings: of the preset.
        feature_unit: u, see `usual_distance`.
    """

    detector_dir: Path
    settings: GraspPointSettings
    feature_unit: float

    def keyed(
        self,
        stored: NDArray[np.float32],
        dataset: Dataset,
        views: Sequence[str],
        error: float = 0.0,
    ) -> NDArray[np.float32]:
        """Features (N, M) with the key (N, M + 4).

        Args:
            stored: features without it, view after view.
            dataset: what they are of.
            views: of each demonstration.
            error: standard deviation, as a share of sigma, of an error to be added to the ways,
                seeded: a query does not know its own as well as hindsight does.
        """
        manifest = read_grasp_manifest(self.detector_dir)
        ways, phases = key_labels(dataset, views)
        key = grasp_key(self.settings, self.feature_unit, manifest)
        if error:
            rng = np.random.default_rng(0x5EED)
            sigma = key.sigma[np.minimum(phases, len(key.sigma) - 1)]
            ways = ways + rng.standard_normal(ways.shape) * error * sigma
        return np.concatenate([stored, key.rows(ways, phases)], axis=1)


def grasp_key(
    settings: GraspPointSettings, feature_unit: float, manifest: GraspPointManifest
) -> GraspKey:
    """How ways become part of the features, with this detector."""
    right, down, forward = settings.sigma_m
    by_phase = [
        (right, down, forward if phase.plane is None else settings.parallax_sigma_m)
        for phase in manifest.phases
    ]
    return GraspKey(
        sigma=np.array(by_phase) / manifest.unit_m,
        unit=settings.weight * feature_unit,
        phase_unit=feature_unit,
    )


def usual_distance(stored: NDArray[np.floating], origin_ids: NDArray[np.int64]) -> float:
    """u: median distance of a frame's features (N, M) to the nearest of another demonstration.

    Of a single demonstration it is 1: there is nothing to compare with.
    """
    if len(np.unique(origin_ids)) < 2:
        return 1.0
    distances, _ = neighbors_in_other_demonstrations(stored, origin_ids, k=1)
    return max(float(np.median(distances)), 1e-6)


@dataclass(frozen=True)
class GraspQuery:
    """What a view adds to a query.

    Attributes:
        key: (4,) float32, to be appended to the features.
        point: where the gripper will close; None in a phase without such a point.
        lost: the view and those before it do not say where.
        back_off: (3,) instead of the neighbours' action, in the action scale; None: theirs counts.
        belief: after the view; for `GraspMemory.advance`.
    """

    key: NDArray[np.float32]
    point: GraspPoint | None
    lost: bool
    back_off: NDArray[np.float64] | None
    belief: GraspBelief


class GraspMemory:
    """What one rollout knows of its grasp point. `look` and `query` change nothing."""

    def __init__(
        self,
        detector: GraspDetector,
        key: GraspKey,
        settings: GraspPointSettings,
        phases: int,
    ) -> None:
        """Args:
        detector: of the same camera and action scale.
        key: as the stored features were made.
        settings: see there.
        phases: that the demonstrations have.
        """
        manifest = detector.manifest
        self.detector, self.key, self.settings = detector, key, settings
        axes_camera = np.array(manifest.axes_camera)
        self._forward, self._phases = axes_camera[2], phases
        self._unit_m = manifest.unit_m
        self.filter = GraspFilter(
            manifest.camera, manifest.phases, axes_camera, manifest.unit_m, settings.filter
        )
        self.reset()

    def reset(self) -> None:
        """Forget the rollout: the hand is open, nothing was seen."""
        self._belief = NO_BELIEF
        self._closed = False
        self._approach: GraspBelief | None = None
        """What was believed of the point that the hand has closed on."""
        self._since_closing = np.zeros(3)
        self._back_off_left_m = 0.0

    @property
    def unit_m(self) -> float:
        """Metres of what the actions call 1."""
        return self._unit_m

    @property
    def pointed(self) -> int:
        """How many phases have a grasp point."""
        return len(self.filter.phases)

    def look(self, image_rgb: NDArray[np.uint8]) -> GraspView:
        """See `GraspDetector.look`."""
        return self.detector.look(image_rgb)

    def query(self, view: GraspView | None) -> GraspQuery:
        """What the next step should be compared with.

        Raises:
            ArtefactMismatchError: there is no view.
        """
        if view is None:
            raise ArtefactMismatchError(
                "no view of the grasp point: a policy that compares grasp points needs the image"
            )
        phase = self._known_phase()
        belief, point, lost = self._belief, None, False
        way = np.zeros(3)
        back_off = None
        if self._back_off_left_m > 0 and not self._closed:
            step_m = min(self.settings.back_off_step_m, self._back_off_left_m)
            back_off = -self._forward * step_m / self._unit_m
        if phase < self.pointed:
            belief = self.filter.see(belief, view, phase)
            point = self.filter.estimate(belief)
            way = point.camera_delta - self._forward * self._stop_short_m(phase) / self._unit_m
            # The way back needs no view, and a hand that still opens does not look open.
            lost = back_off is None and (
                max(point.std[:2]) * self._unit_m > self.settings.lost_m
                or self.detector.hand_seen(view) < self.settings.least_hand_seen
            )
        key = self.key.rows(way[None], np.array([phase]))[0]
        return GraspQuery(key, point, bool(lost), back_off, belief)

    def advance(self, belief: GraspBelief, step: TakenStep) -> None:
        """Remember a step that was taken on a query with this belief."""
        belief = self.filter.move(belief, step)
        moved = step.camera_delta_m / self._unit_m
        if self._approach is not None:
            self._approach = self.filter.move(self._approach, replace(step, gripper_closed=True))
            self._since_closing = self._since_closing + moved
        if self._back_off_left_m > 0 and not step.gripper_closed and not step.missed:
            self._back_off_left_m -= float(np.linalg.norm(step.camera_delta_m))
            if self._back_off_left_m < 0.5 * self.settings.back_off_step_m:
                self._back_off_left_m = 0.0
        if step.gripper_closed != self._closed:
            belief = self._changed(belief, step)
        self._closed = step.gripper_closed
        self._belief = belief

    def _changed(self, belief: GraspBelief, step: TakenStep) -> GraspBelief:
        """The belief of the phase that begins."""
        if step.gripper_closed:
            self._approach, self._since_closing = belief, np.zeros(3)
            self._back_off_left_m = 0.0
            return GraspBelief(NO_BELIEF.particles, belief.phase + 1, belief.steps)
        if step.missed and self._approach is not None:
            # It never held anything: the phase before goes on, without the place it closed at.
            self._back_off_left_m = self.settings.back_off_m
            belief = self.filter.miss(self._approach, -self._since_closing)
            self._approach = None
            return belief
        self._approach = None
        return GraspBelief(NO_BELIEF.particles, belief.phase + 1, belief.steps)

    def _stop_short_m(self, phase: int) -> float:
        if self.filter.phases[phase].plane is None:
            return self.settings.stop_short_m
        return self.settings.parallax_stop_short_m

    def _known_phase(self) -> int:
        """The phase, or the last one of the same hand that demonstrations have."""
        phase = self._belief.phase
        while phase >= self._phases and phase >= 2:
            phase -= 2
        return min(phase, self._phases - 1)
