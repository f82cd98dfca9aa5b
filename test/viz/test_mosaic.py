"""The mosaic shows the query and each neighbour's own picture."""

import subprocess
import sys

import numpy as np
import pytest
from vinn.demos.types import ActionScale
from vinn.errors import ImageError
from vinn.policies.types import Neighbor, Prediction
from vinn.viz.mosaic import (
    MAX_NEIGHBORS,
    MOSAIC_HEIGHT_PX,
    MOSAIC_WIDTH_PX,
    fit_image,
    format_delta,
    grid_shape,
    neighbor_mosaic,
)

COLORS = np.random.default_rng(3).integers(60, 255, (64, 3)).astype(np.uint8)


def make_prediction(k, scale=ActionScale.METRIC):
    neighbors = tuple(
        Neighbor(f"demo-{i}", i, i, 1.0 + i, 1.0 / k, np.zeros(3, np.float32), i % 4)
        for i in range(k)
    )
    return Prediction(np.array([0.01, 0.0, 0.02]), 1.5, np.full(4, 0.25), scale, neighbors)


def thumbnail(index):
    return np.tile(COLORS[index], (48, 64, 1))


def contains(image, color):
    return bool((np.abs(image.astype(int) - color.astype(int)).max(axis=2) <= 2).sum() > 200)


@pytest.mark.parametrize("k", [1, 5, 10, MAX_NEIGHBORS])
def test_every_neighbor_is_shown(k):
    query = np.full((100, 140, 3), (3, 140, 250), np.uint8)
    mosaic = neighbor_mosaic(query, make_prediction(k), thumbnail)
    assert mosaic.shape == (MOSAIC_HEIGHT_PX, MOSAIC_WIDTH_PX, 3)
    assert mosaic.dtype == np.uint8
    assert contains(mosaic, query[0, 0])
    for i in range(k):
        assert contains(mosaic, COLORS[i]), f"neighbour {i} is missing"


def test_size_does_not_depend_on_the_prediction():
    query = np.zeros((50, 50, 3), np.uint8)
    sizes = {neighbor_mosaic(query, make_prediction(k), thumbnail).shape for k in (0, 3, 40)}
    assert len(sizes) == 1


def test_neighbors_beyond_the_drawn_ones_are_not_asked_for():
    asked = []

    def counting(index):
        asked.append(index)
        return thumbnail(index)

    neighbor_mosaic(np.zeros((50, 50, 3), np.uint8), make_prediction(40), counting)
    assert asked == list(range(MAX_NEIGHBORS))


def test_query_is_not_changed():
    query = np.full((80, 80, 3), 77, np.uint8)
    neighbor_mosaic(query, make_prediction(2), thumbnail)
    assert (query == 77).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), "u1")],
)
def test_bad_images_are_refused(image):
    with pytest.raises(ImageError):
        fit_image(image, 10, 10)


@pytest.mark.parametrize("count", range(1, 21))
def test_grid_holds_every_tile(count):
    columns, side = grid_shape(count, 446, 596, 34)
    rows = -(-count // columns)
    assert side > 40
    assert columns * side <= 596
    assert rows * (side + 34) <= 446


def test_delta_in_words():
    assert format_delta(np.array([0.012, -0.004, 0.03]), ActionScale.METRIC) == (
        "x +1.2  y -0.4  z +3.0 cm"
    )
    assert format_delta(np.array([1.0, 0.0, -0.5]), ActionScale.UNIT) == "x +1.00  y +0.00  z -0.50"


def test_drawing_does_not_import_matplotlib():
    code = (
        "import sys, numpy as np; from vinn.viz.mosaic import neighbor_mosaic\n"
        "from vinn.demos.types import ActionScale; from vinn.policies.types import Prediction\n"
        "p = Prediction(np.zeros(3), 0.0, np.full(4, 0.25), ActionScale.METRIC)\n"
        "neighbor_mosaic(np.zeros((8, 8, 3), np.uint8), p, None)\n"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
