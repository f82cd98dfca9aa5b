"""Where the gripper will close, from all views of an approach and what the arm really did.

A particle filter. A particle is

    point    (3,) from the point between the finger tips to where the gripper will change
    mount    (2,) how the camera is turned against its configuration, about x and y [rad]
    size     (1,) how much larger than the demonstrated ones the thing looks: log of a factor

A view weighs it by the detector's maps where the point, and the hand, would be seen, and by the
detector's distance, which holds for things of the usual size only. The steps of the arm, as
measured, move the point; several bearings then give the distance that one view does not. How the
picture around the point grew says it better still (`vinn.policies.grasp.parallax`): the plane that
it shows lies behind the point as it does in the demonstrations, and the thing stands out of it.
Where the arm was blocked on its way to a place, the point is not behind that place; where the
gripper closed on nothing, it is not there.

All functions are pure: a belief goes in, another comes out, and what is random follows from the
seed and the number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.policies.grasp.detector import GraspCamera, GraspView, PhasePrior
from vinn.policies.grasp.parallax import Parallax, Relief
from vinn.policies.grasp.picture import EarlierView
from vinn.policies.types import GraspPoint, TakenStep

_POINT, _MOUNT, _SIZE = slice(0, 3), slice(3, 5), 5

MOST_VIEWS = 24
"""Of a phase that are remembered."""

Vector = tuple[float, float, float]


class GraspFilterSettings(BaseModel):
    """How far views and odometry are trusted. Lengths in metres."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    particles: int = Field(default=3000, ge=100, le=100_000)
    fresh: float = Field(default=0.05, gt=0, lt=1)
    """Share of particles drawn anew from each view, in case the belief is wrong."""
    temper: float = Field(default=0.6, gt=0, le=1)
    """Exponent of a view's likelihood: views of one thing err alike."""
    floor: float = Field(default=3e-4, gt=0, lt=1)
    """Probability of a cell that the detector rules out."""
    prior_widening: float = Field(default=1.2, ge=1)
    """Of the demonstrated beginnings' spread."""
    mount_std_rad: float = Field(default=0.025, gt=0, le=0.3)
    log_depth_std: float = Field(default=0.2, gt=0)
    """Of one view's distance, besides the thing's size."""
    log_size_std: float = Field(default=0.15, gt=0)
    plane_floor: float = Field(default=6.0, gt=0)
    """Most that the distance of the plane behind it may speak against a point, as a logarithm."""
    relief_gain: float = Field(default=6.0, ge=0)
    """How much it speaks for a place that it stands out of the plane, as a logarithm for a
    difference of 1 (`vinn.policies.grasp.parallax.Relief`); 0: not at all."""
    still_m: float = Field(default=0.0005, gt=0)
    """Error of a measured step that did not move."""
    slip: float = Field(default=0.03, ge=0)
    """Error of a measured step, as a share of it."""
    blocked_share: float = Field(default=0.5, ge=0, lt=1)
    """A step that got less than this share of the way was blocked..."""
    blocked_from_m: float = Field(default=0.008, gt=0)
    """... if it was to go at least so far."""
    blocked_std_m: float = Field(default=0.006, gt=0)
    missed_m: Vector = (0.015, 0.03, 0.018)
    """Half sizes, right, up and forward of the gripper, of where there is nothing after a closing
    on nothing: about what the fingers reach around..."""
    missed_before_m: float = Field(default=0.008, ge=-0.1, le=0.1)
    """... and how far its middle lies before the point between the finger tips."""
    seed: int = 0


@dataclass(frozen=True)
class GraspBelief:
    """What is believed before the next view.

    Attributes:
        particles: (N, 6); empty before the first view of a phase.
        phase: changes of the gripper so far.
        steps: taken in the rollout.
        missed: where the gripper closed on nothing, (3,) each, relative to the hand as it is now.
        earlier: views of the phase that steps were taken on, oldest first.
    """

    particles: NDArray[np.float64]
    phase: int = 0
    steps: int = 0
    missed: tuple[NDArray[np.float64], ...] = ()
    earlier: tuple[EarlierView, ...] = ()


NO_BELIEF = GraspBelief(np.zeros((0, 6)))


class GraspFilter:
    """The filter for one camera, hand and unit."""

    def __init__(
        self,
        camera: GraspCamera,
        phases: tuple[PhasePrior, ...],
        approach_camera: NDArray[np.float64],
        unit_m: float,
        settings: GraspFilterSettings,
    ) -> None:
        """Args:
        camera: as configured.
        phases: the beginnings' spread.
        approach_camera: (3, 3) the gripper's axes right, up and forward as rows, in optical axes.
        unit_m: metres of what the actions call 1.
        settings: see there.
        """
        self.camera, self.phases, self.settings = camera, phases, settings
        self._axes = approach_camera
        self._unit_m = unit_m
        self._hand = np.array(camera.hand)
        self._parallax = [
            None
            if phase.plane is None
            else Parallax(camera, approach_camera[2], phase.plane.hand_cells)
            for phase in phases
        ]

    def see(self, belief: GraspBelief, view: GraspView, row: int) -> GraspBelief:
        """The belief after a view, of the phase in this row of the detector's."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, belief.steps, 0])
        first = not len(belief.particles)
        count = settings.particles
        relief = self._relief(belief, view, row)
        if relief is not None:
            view = self._with_relief(view, row, relief)
        if first:
            particles = self._drawn(rng, count, view, row)
            weights = self._prior(particles, row)
        else:
            particles = belief.particles.copy()
            anew = rng.choice(count, max(1, round(settings.fresh * count)), replace=False)
            particles[anew] = self._drawn(rng, len(anew), view, row)
            weights = np.zeros(count)
        turned = _turned(particles[:, _MOUNT], self._hand + particles[:, _POINT])
        hand = _turned(particles[:, _MOUNT], np.broadcast_to(self._hand, (count, 3)))
        depth = np.log(np.maximum(turned[:, 2], 1e-6))
        off = (depth + particles[:, _SIZE] - view.log_depth[row]) / settings.log_depth_std
        weights = weights + settings.temper * (
            self._seen(view.log_heat[row], turned) + self._seen(view.log_hand, hand) - 0.5 * off**2
        )
        weights -= self._ruled_out(particles[:, _POINT], belief.missed)
        if relief is not None:
            weights += settings.temper * self._at_distance(particles[:, _POINT], relief, row)
        particles = _resampled(rng, particles, weights)
        particles[:, _POINT] += 0.0015 / self._unit_m * rng.standard_normal((count, 3))
        particles[:, _MOUNT] += 0.001 * rng.standard_normal((count, 2))
        particles[:, _SIZE] += 0.01 * rng.standard_normal(count)
        return replace(belief, particles=particles, earlier=self._remembered(belief, view))

    def move(self, belief: GraspBelief, step: TakenStep) -> GraspBelief:
        """The belief after a step of the arm; a step of unknown length loses it."""
        moved = step.camera_delta_m / self._unit_m
        belief = replace(belief, steps=belief.steps + 1)
        if not len(belief.particles) or not np.isfinite(moved).all():
            return replace(belief, particles=NO_BELIEF.particles, missed=(), earlier=())
        settings = self.settings
        rng = np.random.default_rng([settings.seed, belief.steps, 1])
        particles = belief.particles.copy()
        error_m = settings.still_m + settings.slip * float(np.linalg.norm(step.camera_delta_m))
        noise = error_m / self._unit_m * rng.standard_normal((len(particles), 3))
        particles[:, _POINT] -= moved + noise
        missed = tuple(point - moved for point in belief.missed)
        earlier = tuple(EarlierView(v.picture, v.moved + moved) for v in belief.earlier)
        sent_m = float(np.linalg.norm(step.sent_camera_delta_m))
        if not step.gripper_closed and sent_m >= settings.blocked_from_m:
            way = step.sent_camera_delta_m / sent_m
            if float(step.camera_delta_m @ way) < settings.blocked_share * sent_m:
                behind = np.maximum(particles[:, _POINT] @ way, 0.0) * self._unit_m
                weights = np.logaddexp(-0.5 * (behind / settings.blocked_std_m) ** 2, -14.0)
                particles = _resampled(rng, particles, weights)
        return replace(belief, particles=particles, missed=missed, earlier=earlier)

    def miss(self, belief: GraspBelief, closed_at: NDArray[np.float64]) -> GraspBelief:
        """The belief after a closing on nothing at a place (3,) relative to the hand now; a place
        that is not known any more rules nothing out."""
        if not np.isfinite(closed_at).all():
            return belief
        reach = self._axes[2] * self.settings.missed_before_m / self._unit_m
        return replace(belief, missed=(*belief.missed, closed_at + reach), earlier=())

    def estimate(self, belief: GraspBelief) -> GraspPoint:
        """Where the gripper will close: mean and spread of the particles, here and in the image.

        A place that was ruled out may lie between two where the point can still be: then of those
        before and behind it, the likelier ones count.
        """
        particles = belief.particles
        if belief.missed:
            behind = (particles[:, _POINT] - belief.missed[-1]) @ self._axes[2] > 0
            particles = particles[behind == (np.count_nonzero(behind) * 2 >= len(behind))]
        points = particles[:, _POINT]
        pixels = self.camera.project(_turned(particles[:, _MOUNT], self._hand + points))
        seen = np.isfinite(pixels).all(axis=1)
        size = np.array([self.camera.width_px, self.camera.height_px])
        image_uv = (pixels[seen].mean(axis=0) + 0.5) / size if seen.any() else np.full(2, np.nan)
        return GraspPoint(
            camera_delta=points.mean(axis=0),
            std=points.std(axis=0),
            image_uv=image_uv if ((image_uv >= 0) & (image_uv <= 1)).all() else np.full(2, np.nan),
            image_std=pixels[seen].std(axis=0) / size if seen.any() else np.full(2, np.nan),
        )

    def _drawn(
        self, rng: np.random.Generator, count: int, view: GraspView, row: int
    ) -> NDArray[np.float64]:
        """Particles (count, 6) where the view sees the point, at distances that it allows."""
        settings, camera = self.settings, self.camera
        rows, columns = view.log_hand.shape
        probability = np.exp(view.log_heat[row]).ravel()
        cells = rng.choice(rows * columns, count, p=probability / probability.sum())
        place = np.column_stack([cells % columns, cells // columns]) + rng.random((count, 2))
        pixels = place * [camera.width_px / columns, camera.height_px / rows] - 0.5
        mount = settings.mount_std_rad * rng.standard_normal((count, 2))
        size = 1.3 * settings.log_size_std * rng.standard_normal(count)
        depth = np.exp(view.log_depth[row] - size)
        points = _turned(-mount, camera.rays(pixels) * depth[:, None]) - self._hand
        return np.column_stack([points, mount, size])

    def _prior(self, particles: NDArray[np.float64], row: int) -> NDArray[np.float64]:
        """Log weights of first particles: demonstrated beginnings, sizes and mounts."""
        settings, prior = self.settings, self.phases[row]
        spread = np.maximum(prior.std, 0.005 / self._unit_m) * settings.prior_widening
        off = (particles[:, _POINT] - np.array(prior.mean)) / spread
        size = particles[:, _SIZE] / settings.log_size_std
        drawn = size / 1.3
        log: NDArray[np.float64] = -0.5 * ((off**2).sum(axis=1) + size**2 - drawn**2)
        return log

    def _seen(
        self, log_map: NDArray[np.float64], points: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(N,) log probability of seeing points (N, 3) where they are, between cells linearly."""
        rows, columns = log_map.shape
        pixels = self.camera.project(points)
        x = (pixels[:, 0] + 0.5) * columns / self.camera.width_px - 0.5
        y = (pixels[:, 1] + 0.5) * rows / self.camera.height_px - 0.5
        inside = (x > -1) & (x < columns) & (y > -1) & (y < rows)
        x = np.clip(np.where(inside, x, 0.0), 0.0, columns - 1.001)
        y = np.clip(np.where(inside, y, 0.0), 0.0, rows - 1.001)
        left, top = x.astype(np.int64), y.astype(np.int64)
        right, down = x - left, y - top
        map_ = np.exp(log_map)
        probability = (
            map_[top, left] * (1 - right) * (1 - down)
            + map_[top, left + 1] * right * (1 - down)
            + map_[top + 1, left] * (1 - right) * down
            + map_[top + 1, left + 1] * right * down
        )
        log: NDArray[np.float64] = np.log(np.where(inside, probability, 0.0) + self.settings.floor)
        return log

    def _relief(self, belief: GraspBelief, view: GraspView, row: int) -> Relief | None:
        """What this view and those before say of the plane around the point."""
        parallax, plane = self._parallax[row], self.phases[row].plane
        if parallax is None or plane is None or view.picture is None or not belief.earlier:
            return None
        points = self._hand + belief.particles[:, _POINT]
        expected = float(points.mean(axis=0) @ self._axes[2]) + plane.behind
        pixels = self.camera.project(_turned(belief.particles[:, _MOUNT], points))
        if not np.isfinite(pixels).all() or expected <= max(plane.behind, 0.0):
            return None
        image_uv = (pixels.mean(axis=0) + 0.5) / [self.camera.width_px, self.camera.height_px]
        return parallax.relief(view.picture, belief.earlier, image_uv, expected, plane.behind)

    def _with_relief(self, view: GraspView, row: int, relief: Relief) -> GraspView:
        """The view, with places that stand out likelier and those in the plane less likely."""
        log_heat = view.log_heat.copy()
        rows, columns = log_heat.shape[1:]
        # The point is at the thing, not on each pixel of it.
        widest = cv2.dilate(relief.stands_out, np.ones((5, 5), np.uint8))
        out = np.asarray(cv2.resize(widest, (columns, rows), interpolation=cv2.INTER_AREA))
        floor = np.log(self.settings.floor)
        heat = np.logaddexp(log_heat[row], floor) + self.settings.relief_gain * out
        log_heat[row] = heat - np.logaddexp.reduce(heat, axis=None)
        return replace(view, log_heat=log_heat)

    def _at_distance(
        self, points: NDArray[np.float64], relief: Relief, row: int
    ) -> NDArray[np.float64]:
        """(N,) log likelihood of points (N, 3), by the distance of the plane behind them."""
        plane = self.phases[row].plane
        if plane is None:
            return np.zeros(len(points))
        distance = (self._hand + points) @ self._axes[2] + plane.behind
        off = (distance - relief.distance) / plane.std
        log: NDArray[np.float64] = np.logaddexp(-0.5 * off**2, -self.settings.plane_floor)
        return log

    def _remembered(self, belief: GraspBelief, view: GraspView) -> tuple[EarlierView, ...]:
        """The views of the phase with this one, the oldest and the newest of too many."""
        if view.picture is None:
            return belief.earlier
        earlier = (*belief.earlier, EarlierView(view.picture, np.zeros(3)))
        return earlier if len(earlier) <= MOST_VIEWS else (earlier[0], *earlier[2:])

    def _ruled_out(
        self, points: NDArray[np.float64], missed: tuple[NDArray[np.float64], ...]
    ) -> NDArray[np.float64]:
        """(N,) how much less likely points are for lying where the gripper closed on nothing."""
        against = np.zeros(len(points))
        for place in missed:
            off = (points - place) @ self._axes.T * self._unit_m / np.array(self.settings.missed_m)
            against += 12.0 * np.exp(-((off**2).sum(axis=1) ** 2))
        return against


def _turned(mount: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (N, 3) in the axes of a camera turned by small angles (N, 2) about x and y."""
    x, y, z = points.T
    about_x, about_y = mount.T
    return np.column_stack([x + about_y * z, y - about_x * z, z - about_y * x + about_x * y])


def _resampled(
    rng: np.random.Generator, particles: NDArray[np.float64], log_weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """As many particles, drawn by systematic resampling."""
    weights = np.exp(log_weights - log_weights.max())
    places = (rng.random() + np.arange(len(particles))) / len(particles)
    rows = np.searchsorted(np.cumsum(weights) / weights.sum(), places)
    return particles[np.minimum(rows, len(particles) - 1)].copy()
