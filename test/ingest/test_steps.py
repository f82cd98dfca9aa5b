"""The gate, on camera paths made up for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.motion.consistency import consistent_share
from vinn.ingest.motion.mappers import Mapping
from vinn.ingest.motion.sfm import Reconstruction, segments
from vinn.ingest.motion.steps import (
    Assessment,
    GateSettings,
    StepReason,
    assess,
    camera_deltas,
    step_rows,
)

PER_STEP = 3


def rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, ::-1]


def path(steps: int, seed: int = 0) -> Mapping:
    """A camera that turns and moves by steps of 0.8 to 1.2."""
    rng = np.random.default_rng(seed)
    frames = steps * PER_STEP + 1
    moves = rng.normal(size=(steps, 3))
    moves *= rng.uniform(0.8, 1.2, (steps, 1)) / np.linalg.norm(moves, axis=1, keepdims=True)
    centre = np.vstack([np.zeros(3), np.cumsum(np.repeat(moves / PER_STEP, PER_STEP, 0), 0)])
    axes = np.stack([rotation(rng) for _ in range(frames)])
    return Mapping(
        "incremental",
        1,
        np.zeros(frames, np.int64),
        centre,
        axes,
        np.full(frames, 100),
        1000,
        0.4,
    )


def elsewhere(mapping: Mapping, seed: int = 1) -> Mapping:
    """The same path in another mapper's world: turned, scaled and shifted."""
    rng = np.random.default_rng(seed)
    turn, scale = rotation(rng), rng.uniform(0.1, 10)
    return replace(
        mapping,
        mapper="global",
        world_centre=scale * mapping.world_centre @ turn.T + rng.normal(size=3),
        camera_from_world=mapping.camera_from_world @ turn.T,
    )


def judged(
    first: Mapping,
    second: Mapping,
    still: list[int] | None = None,
    slots: list[int] | None = None,
    sharpness: np.ndarray | None = None,
    consistent: np.ndarray | None = None,
) -> Assessment:
    slots = slots or list(range(len(first.world_centre)))
    count = len(step_rows(slots, PER_STEP))
    flags = np.zeros(count, bool)
    flags[still or []] = True
    return assess(
        slots,
        PER_STEP,
        np.ones(len(slots)) if sharpness is None else sharpness,
        Reconstruction(first, second, flags, ()),
        np.ones(count) if consistent is None else consistent,
        GateSettings(),
    )


def reasons(assessment: Assessment) -> list[str]:
    return [step.reason.value for step in assessment.steps]


def test_agreeing_mappers_give_the_true_directions() -> None:
    truth = path(10)
    result = judged(truth, elsewhere(truth))
    assert result.failure is None and set(reasons(result)) == {"kept"}
    for step in result.steps:
        begin, end = step.index * PER_STEP, (step.index + 1) * PER_STEP
        motion = truth.camera_from_world[begin] @ (
            truth.world_centre[end] - truth.world_centre[begin]
        )
        np.testing.assert_allclose(step.camera_delta, motion / np.linalg.norm(motion), atol=1e-9)


def test_assessment_survives_json() -> None:
    result = judged(path(4), elsewhere(path(4)))
    assert Assessment.from_json(result.to_json()) == result


def test_steps_the_mappers_disagree_on_are_dropped() -> None:
    truth = path(10)
    wrong = elsewhere(truth)
    wrong.world_centre[4 * PER_STEP] += 5 * np.linalg.norm(
        wrong.world_centre[1] - wrong.world_centre[0]
    )
    result = judged(truth, wrong)
    # The frame ends step 3 and begins step 4.
    assert [i for i, r in enumerate(reasons(result)) if r == "disagreement"] == [3, 4]
    assert result.failure is None


def test_a_clip_on_which_they_mostly_disagree_is_rejected() -> None:
    result = judged(path(10), elsewhere(path(10, seed=7)))
    assert result.failure is not None and "agree" in result.failure


def test_unplaced_frames_and_failed_mappers() -> None:
    truth = path(10)
    lost = elsewhere(truth)
    lost.world_centre[6] = np.nan
    assert reasons(judged(truth, lost))[1:3] == ["unregistered"] * 2
    nothing = replace(lost, models=0, world_centre=np.full_like(lost.world_centre, np.nan))
    failure = judged(truth, nothing).failure
    assert failure is not None and "global" in failure


def test_few_points_blur_and_contradicted_pictures() -> None:
    truth = path(10)
    few = elsewhere(truth)
    few.observations[0] = 3
    sharpness = np.ones(31)
    sharpness[9] = 0.1
    consistent = np.ones(10)
    consistent[6], consistent[8] = 0.2, np.nan
    found = reasons(judged(truth, few, sharpness=sharpness, consistent=consistent))
    assert found[0] == "few_points"
    assert found[2] == found[3] == "blurred"
    assert found[6] == found[8] == "moving_scene"
    assert sum(reason == "kept" for reason in found) == 5


def test_a_gap_costs_the_steps_it_touches() -> None:
    truth = path(10)
    slots = [slot for slot in range(31) if slot not in (7, 8)]
    first = Mapping(
        "incremental", 1, truth.segment[slots], truth.world_centre[slots],
        truth.camera_from_world[slots], truth.observations[slots], 1000, 0.4,
    )  # fmt: skip
    result = judged(first, elsewhere(first), slots=slots)
    assert [i for i, r in enumerate(reasons(result)) if r == "gap"] == [2]
    assert sum(step.kept for step in result.steps) == 9


def test_a_still_picture_is_no_motion_whatever_the_mappers_say() -> None:
    truth = path(10)
    result = judged(truth, elsewhere(truth), still=[4])
    assert result.steps[4].kept and not result.steps[4].moves


def test_each_segment_has_its_own_scale() -> None:
    truth = path(10)
    second = elsewhere(truth)
    segment = (np.arange(31) > 15).astype(np.int64)
    shrunk = replace(
        second,
        segment=segment,
        world_centre=np.where(segment[:, None] == 1, second.world_centre * 0.01 + 3,
                              second.world_centre),
    )  # fmt: skip
    result = judged(replace(truth, segment=segment), shrunk)
    # Step 5 crosses from one to the other and cannot be known.
    assert [i for i, r in enumerate(reasons(result)) if r != "kept"] == [5]
    assert reasons(result)[5] == "unregistered"


def test_a_jump_is_not_an_action() -> None:
    truth = path(10)
    truth.world_centre[15:] += [20.0, 0, 0]
    assert reasons(judged(truth, elsewhere(truth)))[4] == StepReason.JUMP.value


def test_deltas_scale_away() -> None:
    truth = path(6)
    rows = list(step_rows(range(19), PER_STEP).values())
    np.testing.assert_allclose(
        camera_deltas(truth, rows), camera_deltas(elsewhere(truth), rows), atol=1e-9
    )


@pytest.mark.parametrize(
    ("still", "expected"),
    [
        ([], [0] * 13),
        ([1, 2], [0] * 7 + [1] * 6),
        ([0], [0] * 13),
        ([3], [0] * 13),
        ([1], [0] * 5 + [1] * 8),
    ],
)
def test_segments_are_cut_where_the_hand_waits(still: list[int], expected: list[int]) -> None:
    flags = np.zeros(4, bool)
    flags[still] = True
    steps = [(i * PER_STEP, (i + 1) * PER_STEP) for i in range(4)]
    assert segments(flags, steps, 13).tolist() == expected


def two_views(lens: Lens, motion: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def rays(seen: np.ndarray) -> np.ndarray:
        return lens.unproject(lens.project(seen))

    return rays(points), rays(points - motion)


def test_a_path_that_follows_the_door_explains_little_of_the_room() -> None:
    lens = Lens.pinhole(640, 480, 90)
    rng = np.random.default_rng(0)
    room = np.column_stack([rng.uniform(-0.9, 0.9, 400), rng.uniform(-0.6, 0.6, 400),
                            rng.uniform(0.9, 1.1, 400)])  # fmt: skip
    # Four times as many features on a door in a corner of the picture.
    door = np.column_stack([rng.uniform(-0.2, 0.1, 1600), rng.uniform(-0.2, 0.1, 1600),
                            np.full(1600, 1.0)])  # fmt: skip
    moved, seen_by_door = np.array([0.1, 0.0, 0.05]), np.array([-0.02, 0.08, 0.0])
    first, second = two_views(lens, moved, room)
    door_first, door_second = two_views(lens, seen_by_door, door)
    rays = (np.vstack([first, door_first]), np.vstack([second, door_second]))

    def mapping(motion: np.ndarray) -> Mapping:
        return Mapping("m", 1, np.zeros(2, np.int64), np.stack([np.zeros(3), motion]),
                       np.stack([np.eye(3)] * 2), np.full(2, 99), 99, 0.1)  # fmt: skip

    of_room = consistent_share(rays, mapping(moved), lens, 0, 1)
    of_door = consistent_share(rays, mapping(seen_by_door), lens, 0, 1)
    backwards = consistent_share(rays, mapping(-moved), lens, 0, 1)
    assert of_room > 0.8
    assert of_door < 0.4
    assert backwards < 0.4
