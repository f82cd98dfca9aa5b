"""Distances and what stands out, from pictures that are rendered at known distances."""

from __future__ import annotations

import numpy as np
import pytest
from rendered_views import (
    CAMERA,
    FORWARD,
    HAND,
    HAND_CELLS,
    RIGHT,
    SIDE_PX,
    UP,
    render,
    texture,
    views,
)
from vinn.policies.grasp.parallax import Parallax
from vinn.policies.grasp.picture import EarlierView, detail_picture

BEHIND = 0.04
MOVES = {
    "forward": [0.025 * FORWARD] * 4,
    "one step": [0.025 * FORWARD],
    "sideways": [0.02 * RIGHT, 0.02 * RIGHT],
    "upwards": [0.02 * UP, 0.015 * UP],
    "there and to the side": [0.02 * FORWARD - 0.015 * RIGHT] * 3
    + [0.02 * FORWARD + 0.01 * UP] * 3,
}


@pytest.fixture(scope="module")
def parallax() -> Parallax:
    return Parallax(CAMERA, FORWARD, HAND_CELLS)


def uv(thing: np.ndarray) -> np.ndarray:
    return (CAMERA.project(thing) + 0.5) / SIDE_PX


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("forward_m", [0.03, 0.12])
@pytest.mark.parametrize("wrong", [0.8, 1.25])
def test_the_distance_is_found_from_how_the_picture_changed(
    parallax: Parallax, moves: list[np.ndarray], forward_m: float, wrong: float
) -> None:
    thing = HAND + forward_m * FORWARD + 0.01 * RIGHT
    picture, earlier = views(texture(int(1000 * forward_m)), thing, BEHIND, moves)
    true = float(thing @ FORWARD) + BEHIND
    found = parallax.distance(picture, earlier, uv(thing), wrong * true)
    assert found == pytest.approx(true, rel=0.03)


@pytest.mark.parametrize("turn", [(0.04, 0.0), (0.0, -0.04), (-0.03, 0.03)])
def test_a_camera_that_sits_otherwise_is_made_up_for(
    parallax: Parallax, turn: tuple[float, float]
) -> None:
    thing = HAND + 0.05 * FORWARD
    picture, earlier = views(texture(3), thing, BEHIND, MOVES["forward"], turn=turn)
    true = float(thing @ FORWARD) + BEHIND
    assert parallax.distance(picture, earlier, uv(thing), true) == pytest.approx(true, rel=0.03)


@pytest.mark.parametrize("lights", [(0.4, 1.2), (1.0, 0.5, 0.8), (0.3,)])
def test_light_may_change_between_views(parallax: Parallax, lights: tuple[float, ...]) -> None:
    thing = HAND + 0.05 * FORWARD
    picture, earlier = views(texture(4), thing, BEHIND, MOVES["forward"], lights)
    true = float(thing @ FORWARD) + BEHIND
    assert parallax.distance(picture, earlier, uv(thing), true) == pytest.approx(true, rel=0.04)


def test_the_hand_does_not_say_that_nothing_moved() -> None:
    """It stays where it is in the picture, whatever the arm does."""
    thing = HAND
    surface, moves = texture(5, contrast=0.2), MOVES["forward"]
    wide = ("." * 28,) * 12 + ("#" * 28,) * 16
    pictures = []
    for number in range(len(moves) + 1):
        image = render(surface, thing + (len(moves) - number) * moves[0], BEHIND, seed=number)
        rows, columns = np.indices((SIDE_PX - 100, SIDE_PX))
        image[100:][(rows // 12 + columns // 12) % 2 == 0] = 200
        pictures.append(detail_picture(image))
    earlier = [EarlierView(p, (4 - n) * moves[0]) for n, p in enumerate(pictures[:-1])]
    true = float(thing @ FORWARD) + BEHIND
    blind, knowing = (
        Parallax(CAMERA, FORWARD, cells).distance(pictures[-1], earlier, uv(thing), true)
        for cells in (("." * 28,) * 28, wide)
    )
    assert knowing == pytest.approx(true, rel=0.05)
    assert blind != pytest.approx(true, rel=0.1)


def test_the_unit_of_the_moves_is_the_unit_of_the_distance() -> None:
    thing, unit_m = HAND + 0.05 * FORWARD, 0.025
    picture, earlier = views(texture(6), thing, BEHIND, MOVES["forward"])
    in_steps = CAMERA.model_copy(update={"hand": tuple((HAND / unit_m).tolist())})
    steps = [EarlierView(view.picture, view.moved / unit_m) for view in earlier]
    true = (float(thing @ FORWARD) + BEHIND) / unit_m
    found = Parallax(in_steps, FORWARD, HAND_CELLS).distance(picture, steps, uv(thing), true)
    assert found == pytest.approx(true, rel=0.03)


@pytest.mark.parametrize("case", ["no view", "no move", "noise", "another scene", "camera stood"])
def test_nothing_is_said_where_the_views_do_not_tell(parallax: Parallax, case: str) -> None:
    thing = HAND + 0.05 * FORWARD
    true = float(thing @ FORWARD) + BEHIND
    picture, earlier = views(texture(7), thing, BEHIND, MOVES["forward"])
    rng = np.random.default_rng(1)
    if case == "no view":
        earlier = []
    elif case == "no move":
        earlier = [EarlierView(view.picture, 0.001 * FORWARD) for view in earlier]
    elif case == "noise":
        grey = [np.clip(rng.normal(110, 4, (SIDE_PX, SIDE_PX, 3)), 0, 255) for _ in range(5)]
        covered = [detail_picture(image.astype(np.uint8)) for image in grey]
        picture = covered[0]
        earlier = [EarlierView(c, v.moved) for c, v in zip(covered[1:], earlier, strict=True)]
    elif case == "another scene":
        earlier = views(texture(8), thing, BEHIND, MOVES["forward"])[1]
    else:
        earlier = [EarlierView(picture, view.moved) for view in earlier]
    assert parallax.relief(picture, earlier, uv(thing), true, BEHIND) is None


@pytest.mark.parametrize("before_m", [0.03, 0.05])
@pytest.mark.parametrize("right_m", [-0.03, 0.0, 0.02])
def test_a_bar_stands_out_and_its_picture_does_not(
    parallax: Parallax, before_m: float, right_m: float
) -> None:
    thing = HAND + 0.06 * FORWARD + right_m * RIGHT
    painted = texture(9, contrast=0.5)
    # The same bar, painted on the plane 8 cm to the left.
    middle = painted.shape[0] // 2
    left = middle - 64
    painted[middle - 36 : middle, left - 8 : left + 8] = 230
    painted[middle : middle + 36, left - 8 : left + 8] = 20
    picture, earlier = views(painted, thing, before_m, MOVES["forward"], bar=True)
    expected = float(thing @ FORWARD) + before_m
    relief = parallax.relief(picture, earlier, uv(thing), expected, before_m)
    assert relief is not None
    rows, columns = relief.stands_out.shape

    def around(place: np.ndarray) -> np.ndarray:
        column, row = (uv(place) * [columns, rows]).astype(int)
        return relief.stands_out[row - 5 : row + 6, column - 4 : column + 5]

    flat = thing + before_m * FORWARD - 0.08 * RIGHT
    assert around(thing).max() > 0.15
    assert around(flat).max() < 0.05
    assert around(flat).min() < -0.1


def test_the_same_views_give_the_same_answer(parallax: Parallax) -> None:
    thing = HAND + 0.05 * FORWARD
    picture, earlier = views(texture(10), thing, BEHIND, MOVES["forward"])
    kept = [view.picture.copy() for view in earlier]
    first = parallax.relief(picture, earlier, uv(thing), 0.3, BEHIND)
    second = parallax.relief(picture, earlier, uv(thing), 0.3, BEHIND)
    assert first is not None
    assert second is not None
    assert first.distance == second.distance
    assert np.array_equal(first.stands_out, second.stands_out)
    assert all(np.array_equal(k, v.picture) for k, v in zip(kept, earlier, strict=True))


def test_a_dark_and_a_bright_image_of_one_scene_have_the_same_picture() -> None:
    image = render(texture(11), HAND + 0.05 * FORWARD, BEHIND)
    pictures = [detail_picture((image * gain).astype(np.uint8)) for gain in (0.6, 1.0)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.1 * np.abs(pictures[1]).mean()
