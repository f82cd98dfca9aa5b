"""Where an action is drawn, and that it is visible where it should be."""

import numpy as np
import pytest
from vinn.demos.types import ActionScale
from vinn.viz.arrow import FULL_SCALE, arrow_geometry, draw_action

SIZE = (240, 320)


@pytest.mark.parametrize("scale", list(ActionScale))
@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0, -1), (0.6, -0.8)])
def test_arrow_points_where_the_hand_goes(scale, direction):
    delta = np.array([*direction, 0.0]) * FULL_SCALE[scale]
    geometry = arrow_geometry(delta, scale, *SIZE)
    drawn = np.subtract(geometry.tip_px, geometry.start_px)
    assert geometry.start_px == (160.0, 120.0)
    np.testing.assert_allclose(drawn / np.linalg.norm(drawn), direction, atol=1e-9)


def test_length_is_proportional_until_full_scale():
    longest_m = FULL_SCALE[ActionScale.METRIC]
    half = arrow_geometry([longest_m / 2, 0, 0], ActionScale.METRIC, *SIZE)
    full = arrow_geometry([longest_m, 0, 0], ActionScale.METRIC, *SIZE)
    beyond = arrow_geometry([0.5, 0, 0], ActionScale.METRIC, *SIZE)
    assert half.length_px == pytest.approx(full.length_px / 2)
    assert beyond.length_px == pytest.approx(full.length_px)
    assert 0 <= beyond.tip_px[0] < SIZE[1]


@pytest.mark.parametrize(("z", "fraction"), [(0.5, 0.5), (-1.0, -1.0), (3.0, 1.0), (0.0, 0.0)])
def test_forward_part(z, fraction):
    geometry = arrow_geometry([0, 0, z], ActionScale.UNIT, *SIZE)
    assert geometry.forward_fraction == pytest.approx(fraction)
    assert geometry.length_px == 0


def test_forward_and_backward_have_different_colours():
    forward = arrow_geometry([0, 0, 0.05], ActionScale.METRIC, *SIZE).color
    backward = arrow_geometry([0, 0, -0.05], ActionScale.METRIC, *SIZE).color
    assert forward[0] > forward[2]  # orange
    assert backward[2] > backward[0]  # blue


def test_drawing_changes_the_side_the_arrow_points_to():
    image = np.full((*SIZE, 3), 90, np.uint8)
    draw_action(image, [0.05, 0, 0], ActionScale.METRIC)
    changed = (image != 90).any(axis=2)
    bar = 30  # the forward bar's columns at the right edge
    right = changed[:, 165 : SIZE[1] - bar].sum()
    left = changed[:, :155].sum()
    assert right > 100
    assert left == 0
