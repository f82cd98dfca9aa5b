"""Where the gripper was going to change, from the actions alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vinn.demos.hindsight import hindsight, missing_after
from vinn.demos.types import CameraInfo, DemonstrationMeta


def actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.02, size=(count, 3))


def test_a_frame_knows_the_sum_of_what_is_still_to_come() -> None:
    delta = actions(6)
    found = hindsight(delta, np.array([0, 0, 1, 2, 3, 3]))
    for frame in range(3):
        assert found.to_change[frame] == pytest.approx(delta[frame:3].sum(axis=0))
    assert found.to_change[3] == pytest.approx(np.zeros(3))
    assert np.isnan(found.to_change[4:]).all()
    assert found.phase.tolist() == [0, 0, 0, 0, 1, 1]
    assert found.changes == (3,)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=25), st.integers(0, 99))
def test_the_way_to_the_change_shrinks_by_each_step(states: list[int], seed: int) -> None:
    delta = actions(len(states), seed)
    found = hindsight(delta, np.array(states))
    closed = np.array(states) >= 2
    assert len(found.changes) == np.count_nonzero(np.diff(closed, prepend=False))
    for frame, (now, then) in enumerate(zip(found.to_change, found.to_change[1:], strict=False)):
        if found.phase[frame] == found.phase[frame + 1]:
            assert np.isnan(now).all() == np.isnan(then).all()
            assert np.allclose(now - then, delta[frame], equal_nan=True) or np.isnan(now).any()
        else:
            assert now == pytest.approx(np.zeros(3))
    # After the last change there is nowhere to go; before it every frame knows.
    last = found.changes[-1] if found.changes else -1
    assert found.labelled[: last + 1].all()
    assert not found.labelled[last + 1 :].any()


def test_a_demonstration_that_never_closes_has_no_point() -> None:
    found = hindsight(actions(5), np.zeros(5, int))
    assert not found.labelled.any()
    assert found.changes == ()


def test_setting_something_down_is_a_second_point() -> None:
    delta = actions(8)
    found = hindsight(delta, np.array([0, 3, 3, 3, 0, 0, 3, 3]))
    assert found.changes == (1, 4, 6)
    assert found.phase.tolist() == [0, 0, 1, 1, 1, 2, 2, 3]
    assert found.to_change[2] == pytest.approx(delta[2:4].sum(axis=0))
    assert found.to_change[5] == pytest.approx(delta[5])


def test_a_missing_step_hides_the_way_from_before_it() -> None:
    delta = actions(6)
    found = hindsight(delta, np.array([0, 0, 0, 0, 3, 3]), missing_after={1})
    assert not found.labelled[:2].any()
    assert found.to_change[2] == pytest.approx(delta[2:4].sum(axis=0))


def test_the_way_does_not_reach_over_a_gap_just_before_the_change() -> None:
    found = hindsight(actions(3), np.array([0, 0, 3]), missing_after={1})
    assert found.labelled.tolist() == [False, False, True]


def test_steps_that_stood_still_are_no_gap() -> None:
    meta = DemonstrationMeta(
        name="clip",
        task="door",
        camera=CameraInfo(name="phone", width_px=64, height_px=64),
        provenance={
            "steps": [0, 1, 3, 6, 7],
            "dropped": [
                {"step": 2, "reason": "idle"},
                {"step": 4, "reason": "idle"},
                {"step": 5, "reason": "blurred"},
            ],
        },
    )
    assert missing_after(meta) == {2}
    assert missing_after(meta.model_copy(update={"provenance": {}})) == frozenset()
