"""The filter over views and odometry, on views that are made from a known point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rendered_views import AXES, CAMERA, FORWARD, HAND, HAND_CELLS, SIDE_PX, UP, render, texture
from vinn.policies.grasp.detector import GraspView, PhasePrior, PlanePrior
from vinn.policies.grasp.filter import (
    MOST_VIEWS,
    NO_BELIEF,
    GraspBelief,
    GraspFilter,
    GraspFilterSettings,
)
from vinn.policies.grasp.picture import detail_picture
from vinn.policies.types import TakenStep

GRID = 28
START = np.array([0.03, -0.02, 0.15])


def make_filter(unit_m: float = 1.0, **settings: object) -> GraspFilter:
    camera = CAMERA.model_copy(update={"hand": tuple((HAND / unit_m).tolist())})
    prior = PhasePrior(
        mean=(0.0, 0.0, 0.15 / unit_m), std=(0.06 / unit_m, 0.05 / unit_m, 0.04 / unit_m)
    )
    return GraspFilter(camera, (prior,), AXES, unit_m, GraspFilterSettings.model_validate(settings))


def heat(pixel: np.ndarray, spread_px: float = 6.0) -> np.ndarray:
    middle = (np.arange(GRID) + 0.5) * SIDE_PX / GRID - 0.5
    log = -0.5 * (
        ((middle[None, :] - pixel[0]) / spread_px) ** 2
        + ((middle[:, None] - pixel[1]) / spread_px) ** 2
    )
    return log - np.log(np.exp(log).sum())


def view_of(
    filter_: GraspFilter, point: np.ndarray, mount: np.ndarray | None = None, size: float = 0.0
) -> GraspView:
    """What a perfect detector sees of a point, with a camera turned by small angles."""
    about_x, about_y = (0.0, 0.0) if mount is None else mount
    hand = np.array(filter_.camera.hand)

    def turned(place: np.ndarray) -> np.ndarray:
        return place + np.cross([about_x, about_y, 0.0], place)

    there = turned(hand + point)
    return GraspView(
        log_heat=heat(filter_.camera.project(there))[None],
        log_hand=heat(filter_.camera.project(turned(hand))),
        log_depth=np.array([np.log(there[2]) + size]),
        log_depth_std=np.array([0.05]),
    )


def taken(moved: np.ndarray, sent: np.ndarray | None = None, closed: bool = False) -> TakenStep:
    return TakenStep(moved, moved if sent is None else sent, closed, 0.05)


def approach(
    filter_: GraspFilter, mount: np.ndarray | None = None, size: float = 0.0, steps: int = 6
) -> tuple[GraspBelief, np.ndarray]:
    """Belief and true point after some steps towards a point; the last view is seen."""
    unit_m = filter_._unit_m
    point, belief = START / unit_m, NO_BELIEF
    for _ in range(steps):
        belief = filter_.see(belief, view_of(filter_, point, mount, size), 0)
        moved = 0.16 * point
        belief = filter_.move(belief, taken(moved * unit_m))
        point = point - moved
    return filter_.see(belief, view_of(filter_, point, mount, size), 0), point


@pytest.mark.parametrize("size", [-0.15, 0.0, 0.15])
def test_bearings_and_odometry_give_the_distance_that_sizes_do_not(size: float) -> None:
    filter_ = make_filter()
    belief, point = approach(filter_, size=size)
    found = filter_.estimate(belief)
    assert np.abs(found.camera_delta[:2] - point[:2]).max() < 0.006
    # By its looks alone the first view is 50 mm off where they are 15 % off.
    assert abs(found.camera_delta[2] - point[2]) < 0.036
    assert abs(found.camera_delta[2] - point[2]) < 2 * found.std[2]


@pytest.mark.parametrize("mount", [(0.03, 0.0), (0.0, -0.03), (-0.02, 0.02)])
def test_a_camera_that_sits_otherwise_is_made_up_for(mount: tuple[float, float]) -> None:
    filter_ = make_filter()
    belief, point = approach(filter_, np.array(mount))
    off = filter_.estimate(belief).camera_delta - point
    assert np.abs(off[:2]).max() < 0.006
    # Without seeing the hand a turn of 0.03 rad alone is 6 mm sideways at the hand's distance.


def test_the_same_in_steps_as_in_metres() -> None:
    metric, steps = make_filter(), make_filter(unit_m=0.025)
    in_metres = metric.estimate(approach(metric)[0]).camera_delta
    in_steps = steps.estimate(approach(steps)[0]).camera_delta
    assert in_steps * 0.025 == pytest.approx(in_metres, abs=0.004)


def test_seeing_and_moving_are_pure() -> None:
    filter_ = make_filter()
    belief, point = approach(filter_, steps=2)
    before = belief.particles.copy()
    view = view_of(filter_, point)
    first, second = filter_.see(belief, view, 0), filter_.see(belief, view, 0)
    assert np.array_equal(first.particles, second.particles)
    step = taken(np.array([0.0, 0.0, 0.02]))
    assert np.array_equal(filter_.move(first, step).particles, filter_.move(second, step).particles)
    assert np.array_equal(belief.particles, before)


def test_the_point_is_not_behind_what_blocked_the_hand() -> None:
    filter_ = make_filter()
    belief, _ = approach(filter_, steps=1)
    sent = 0.025 * FORWARD
    stopped = filter_.move(belief, taken(0.002 * FORWARD, sent))
    free = filter_.move(belief, taken(sent))
    assert filter_.estimate(free).camera_delta @ FORWARD > 0.08
    ahead = stopped.particles[:, :3] @ FORWARD
    assert np.quantile(ahead, 0.9) < 0.06 < np.quantile(belief.particles[:, :3] @ FORWARD, 0.5)


def test_a_place_where_it_closed_on_nothing_is_ruled_out() -> None:
    filter_ = make_filter(missed_before_m=0.0)
    belief, point = approach(filter_)
    missed = filter_.miss(belief, point)
    view = view_of(filter_, point)
    places = filter_.see(missed, view, 0).particles[:, :3] - point
    within = np.abs(places @ FORWARD) < 0.01
    before = np.abs((belief.particles[:, :3] - point) @ FORWARD) < 0.01
    assert before.mean() > 0.2
    assert within.mean() < 0.25 * before.mean()
    # It moves along with the hand.
    moved = filter_.move(missed, taken(np.array([0.0, 0.01, -0.02])))
    assert moved.missed[0] == pytest.approx(point - [0.0, 0.01, -0.02])


def test_a_step_of_unknown_length_loses_the_belief() -> None:
    filter_ = make_filter()
    belief, _ = approach(filter_, steps=1)
    lost = filter_.move(belief, taken(np.full(3, np.nan)))
    assert len(lost.particles) == 0
    assert lost.steps == belief.steps + 1


def test_a_place_that_is_not_known_rules_nothing_out() -> None:
    filter_ = make_filter()
    belief, point = approach(filter_, steps=1)
    missed = filter_.miss(belief, np.full(3, np.nan))
    found = filter_.estimate(filter_.see(missed, view_of(filter_, point), 0))
    assert np.isfinite(found.camera_delta).all()
    assert missed.missed == ()


BEHIND = 0.04


def planar_filter(behind: float = BEHIND, **settings: object) -> GraspFilter:
    """A filter whose demonstrations had a plane so far behind their points."""
    plain = make_filter()
    plane = PlanePrior(behind=behind, std=0.006, hand_cells=HAND_CELLS)
    phase = plain.phases[0].model_copy(update={"plane": plane})
    settings_ = GraspFilterSettings.model_validate(settings)
    return GraspFilter(plain.camera, (phase,), AXES, 1.0, settings_)


def straight_ahead(
    filter_: GraspFilter, size: float, decoy: np.ndarray | None = None, steps: int = 4
) -> tuple[GraspBelief, np.ndarray]:
    """Belief and true point after steps towards a bar before a plane.

    Without a decoy the hand moves along the line of sight to the point, so that no bearings tell
    the distance. With one, a place (3,) beside the point that the detector rather believes in, it
    moves forward.
    """
    surface, point, belief = texture(21, contrast=0.6), 0.14 * FORWARD + 0.01 * UP, NO_BELIEF
    for number in range(steps + 1):
        view = view_of(filter_, point, size=size)
        if decoy is not None:
            beside = heat(filter_.camera.project(HAND + point + decoy))
            both = np.logaddexp(np.log(0.4) + view.log_heat[0], np.log(0.6) + beside)
            view = replace(view, log_heat=both[None])
        image = render(surface, HAND + point, BEHIND, bar=True, seed=number)
        belief = filter_.see(belief, replace(view, picture=detail_picture(image)), 0)
        if number < steps:
            line = HAND + point if decoy is None else FORWARD
            moved = 0.025 * line / np.linalg.norm(line)
            belief = filter_.move(belief, taken(moved))
            point = point - moved
    return belief, point


@pytest.mark.parametrize("size", [-0.25, 0.0, 0.25])
def test_how_the_picture_grew_gives_the_distance_that_nothing_else_does(size: float) -> None:
    belief, point = straight_ahead(planar_filter(), size)
    off = planar_filter().estimate(belief).camera_delta - point
    assert abs(off @ FORWARD) < 0.01
    plain, point = straight_ahead(make_filter(), size)
    if size:
        assert abs((make_filter().estimate(plain).camera_delta - point) @ FORWARD) > 0.02


@pytest.mark.parametrize("behind", [0.02, 0.06])
def test_the_plane_lies_as_far_behind_as_in_the_demonstrations(behind: float) -> None:
    filter_ = planar_filter(behind)
    belief, point = straight_ahead(filter_, 0.0)
    off = filter_.estimate(belief).camera_delta - point
    assert off @ FORWARD == pytest.approx(BEHIND - behind, abs=0.01)


@pytest.mark.parametrize("right_m", [-0.07, 0.07])
def test_what_stands_out_is_believed_rather_than_its_picture(right_m: float) -> None:
    decoy = right_m * AXES[0]
    off = {}
    for gain in (0.0, 9.0):
        filter_ = planar_filter(relief_gain=gain)
        belief, point = straight_ahead(filter_, 0.0, decoy, steps=5)
        off[gain] = abs((filter_.estimate(belief).camera_delta - point) @ AXES[0])
    assert off[0.0] > 0.04
    assert off[9.0] < 0.01


def test_views_are_kept_with_how_far_the_hand_has_moved_since() -> None:
    filter_ = planar_filter()
    belief, _ = straight_ahead(filter_, 0.0, steps=3)
    assert [round(float(np.linalg.norm(v.moved)), 3) for v in belief.earlier] == [
        0.075,
        0.05,
        0.025,
        0.0,
    ]
    lost = filter_.move(belief, taken(np.full(3, np.nan)))
    assert lost.earlier == ()
    # A closing on nothing may have moved the door.
    assert filter_.miss(belief, np.zeros(3)).earlier == ()
    for _ in range(40):
        belief = filter_.move(belief, taken(np.zeros(3)))
        view = view_of(filter_, np.array([0.0, 0.0, 0.1]))
        belief = filter_.see(belief, replace(view, picture=np.zeros((112, 112), np.float32)), 0)
    assert len(belief.earlier) == MOST_VIEWS
    assert np.linalg.norm(belief.earlier[0].moved) == pytest.approx(0.075), "the oldest is kept"


def test_where_it_is_in_the_picture() -> None:
    filter_ = make_filter()
    belief, point = approach(filter_)
    found = filter_.estimate(belief)
    pixel = filter_.camera.project(HAND + point)
    assert found.image_uv * SIDE_PX - 0.5 == pytest.approx(pixel, abs=3.0)
    assert (found.image_std * SIDE_PX < 12).all()
