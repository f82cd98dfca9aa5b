"""What a rollout remembers of its grasp point, and retrieval that asks for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rendered_views import HAND_CELLS
from test_grasp_filter import FORWARD, START, make_filter, view_of
from vinn.policies.grasp.detector import GraspDetector, GraspPointManifest, GraspView, PlanePrior
from vinn.policies.grasp.filter import GraspFilterSettings
from vinn.policies.grasp.point import (
    KEY_SIZE,
    GraspKey,
    GraspMemory,
    GraspPointSettings,
    GraspQuery,
    grasp_key,
    key_labels,
    usual_distance,
)
from vinn.policies.types import TakenStep


def known_detector(plane: PlanePrior | None = None) -> GraspDetector:
    """A detector without a network: the tests make its views."""
    filter_ = make_filter()
    phases = tuple(p.model_copy(update={"plane": plane}) for p in filter_.phases)
    manifest = GraspPointManifest(
        action_scale="metric",
        unit_m=1.0,
        camera=filter_.camera,
        rows=28,
        columns=28,
        axes_camera=tuple(tuple(row) for row in filter_._axes.tolist()),
        phases=phases,
        mirrored=True,
        dataset_hash="",
        encoder_name="",
        encoder_hash="",
        network_hash="",
    )
    return GraspDetector(manifest, None)  # type: ignore[arg-type]


def make_memory(
    phases: int = 2, plane: PlanePrior | None = None, **settings: object
) -> GraspMemory:
    detector = known_detector(plane)
    settings.setdefault("filter", GraspFilterSettings(particles=1000))
    known = GraspPointSettings.model_validate(settings)
    return GraspMemory(detector, grasp_key(known, 1.0, detector.manifest), known, phases)


def seen(memory: GraspMemory, point: np.ndarray) -> GraspView:
    return view_of(memory.filter, point)


def step(moved: np.ndarray, closed: bool = False, missed: bool = False) -> TakenStep:
    return TakenStep(moved, moved, closed, 0.0 if missed else 0.05, missed)


def take(memory: GraspMemory, query: GraspQuery, taken: TakenStep) -> None:
    memory.advance(query.belief, taken)


def test_many_views_of_one_step_change_nothing() -> None:
    memory = make_memory()
    first = memory.query(seen(memory, START))
    for _ in range(15):
        memory.query(seen(memory, START + np.array([0.05, 0.0, 0.0])))
    again = memory.query(seen(memory, START))
    assert np.array_equal(first.key, again.key)


def test_the_key_says_the_way_and_stops_short() -> None:
    memory = make_memory(stop_short_m=0.01)
    query = memory.query(seen(memory, START))
    assert query.point is not None
    way = query.point.camera_delta - 0.01 * FORWARD
    assert query.key[:3] == pytest.approx(way / [0.012, 0.012, 0.025], abs=1e-4)
    assert query.key.shape == (KEY_SIZE,)
    assert not query.lost


def test_where_parallax_tells_the_distance_neighbours_agree_in_it_closely() -> None:
    plane = PlanePrior(behind=0.04, std=0.006, hand_cells=HAND_CELLS)
    memory = make_memory(
        plane=plane, stop_short_m=0.01, parallax_sigma_m=0.008, parallax_stop_short_m=-0.003
    )
    query = memory.query(seen(memory, START))
    assert query.point is not None
    way = query.point.camera_delta + 0.003 * FORWARD
    assert query.key[:3] == pytest.approx(way / [0.012, 0.012, 0.008], abs=1e-4)


def test_a_closed_hand_is_compared_with_closed_hands() -> None:
    memory = make_memory()
    query = memory.query(seen(memory, START))
    take(memory, query, step(START, closed=True))
    held = memory.query(seen(memory, np.zeros(3)))
    assert held.point is None
    assert held.key[:3] == pytest.approx(np.zeros(3))
    assert held.key[3] - query.key[3] > 5 * np.abs(query.key[:3]).max()


def test_a_closing_on_nothing_is_forgotten_and_its_place_is_not() -> None:
    memory = make_memory(back_off_m=0.05, back_off_step_m=0.03)
    take(memory, memory.query(seen(memory, START)), step(START))
    before = memory.query(seen(memory, np.zeros(3)))
    take(memory, before, step(np.zeros(3), closed=True))
    pulled = -0.01 * FORWARD
    take(memory, memory.query(seen(memory, np.zeros(3))), step(pulled, closed=True))
    query = memory.query(seen(memory, -pulled))
    take(memory, query, step(np.zeros(3), missed=True))
    after = memory.query(seen(memory, -pulled))
    # An approaching hand again, with a place ruled out that is where it closed.
    assert after.point is not None
    assert after.key[3] == before.key[3]
    reach = memory.settings.filter.missed_before_m * FORWARD
    assert after.belief.missed[0] == pytest.approx(-pulled + reach, abs=1e-9)
    # It goes back first, and then on.
    gone_back = np.zeros(3)
    for _ in range(2):
        assert after.back_off is not None
        assert after.back_off @ FORWARD < 0
        gone_back = gone_back + after.back_off
        take(memory, after, step(after.back_off))
        after = memory.query(seen(memory, -pulled - gone_back))
    assert after.back_off is None
    assert np.linalg.norm(gone_back) == pytest.approx(0.05, abs=0.011)


def test_a_hand_that_let_go_of_what_it_held_goes_on() -> None:
    memory = make_memory(phases=3)
    take(memory, memory.query(seen(memory, START)), step(START, closed=True))
    take(memory, memory.query(seen(memory, np.zeros(3))), step(np.zeros(3)))
    released = memory.query(seen(memory, START))
    assert released.back_off is None
    assert released.point is None, "the third phase has no point in the demonstrations"
    # Where no demonstration goes on after letting go, it is an open hand like any other.
    memory = make_memory(phases=2)
    take(memory, memory.query(seen(memory, START)), step(START, closed=True))
    take(memory, memory.query(seen(memory, np.zeros(3))), step(np.zeros(3)))
    assert memory.query(seen(memory, START)).point is not None


def test_a_rollout_leaves_nothing_to_the_next() -> None:
    memory = make_memory()
    first = memory.query(seen(memory, START))
    take(memory, first, step(START, closed=True))
    memory.reset()
    assert np.array_equal(memory.query(seen(memory, START)).key, first.key)


def test_a_view_that_shows_nothing_is_no_grasp_point() -> None:
    memory = make_memory(lost_m=0.03)
    view = seen(memory, START)
    flat = np.full_like(view.log_heat, -np.log(view.log_heat.size))
    blank = replace(view, log_heat=flat)
    assert memory.query(blank).lost
    assert not memory.query(view).lost


def test_a_camera_that_does_not_see_its_hand_sees_no_grasp_point() -> None:
    memory = make_memory()
    view = seen(memory, START)
    assert memory.detector.hand_seen(view) > 0.9
    rows, columns = view.log_hand.shape
    anywhere = replace(view, log_hand=np.full((rows, columns), -np.log(rows * columns)))
    assert memory.detector.hand_seen(anywhere) < 0.1
    assert memory.query(anywhere).lost


def test_a_hand_goes_back_after_a_miss_although_it_is_not_seen_yet() -> None:
    """It still opens: refusing the view would end the rollout with attempts left."""
    memory = make_memory(back_off_m=0.05, back_off_step_m=0.03)
    take(memory, memory.query(seen(memory, np.zeros(3))), step(np.zeros(3), closed=True))
    view = seen(memory, np.zeros(3))
    unseen = replace(view, log_hand=np.full_like(view.log_hand, -np.log(view.log_hand.size)))
    take(memory, memory.query(unseen), step(np.zeros(3), missed=True))
    for _ in range(2):
        query = memory.query(unseen)
        assert query.back_off is not None
        assert query.back_off @ FORWARD < 0
        assert not query.lost
        take(memory, query, step(query.back_off))
    # Back there, it has to see its hand before it goes on.
    after = memory.query(unseen)
    assert after.back_off is None
    assert after.lost


def test_frames_that_do_not_know_their_way_are_out_of_reach() -> None:
    key = GraspKey(np.array([[0.01, 0.01, 0.02]]), 2.0, 1.0)
    ways = np.array([[0.01, 0.0, 0.02], [np.nan] * 3, [np.nan] * 3])
    rows = key.rows(ways, np.array([0, 0, 1]))
    assert rows[0] == pytest.approx([2.0, 0.0, 2.0, 0.0])
    assert np.isfinite(rows).all()
    assert rows[1, 3] > 5 * rows[2, 3] > 0
    assert rows[2, :3] == pytest.approx(np.zeros(3))


def test_each_phase_has_its_own_sigma() -> None:
    key = GraspKey(np.array([[0.01, 0.01, 0.02], [0.01, 0.01, 0.005]]), 1.0, 1.0)
    rows = key.rows(np.full((3, 3), 0.01), np.array([0, 1, 2]))
    assert rows[:, 2] == pytest.approx([0.5, 2.0, 0.0])


def test_usual_distance_is_that_to_other_demonstrations() -> None:
    features = np.array([[0.0], [0.1], [1.0], [1.1]], np.float32)
    assert usual_distance(features, np.array([0, 0, 1, 1])) == pytest.approx(0.95)
    assert usual_distance(features, np.zeros(4, np.int64)) == 1.0


def test_labels_follow_the_views(door_demonstrations: object) -> None:
    from pathlib import Path

    from vinn.demos.store import Dataset

    dataset = Dataset.open(Path(str(door_demonstrations)))
    ways, phases = key_labels(dataset, ("original", "mirrored"))
    half = len(ways) // 2
    assert np.allclose(ways[half:], ways[:half] * [-1, 1, 1], equal_nan=True)
    assert np.array_equal(phases[half:], phases[:half])
    assert set(phases) == {0, 1}
