from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vinn.errors import ImageError
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.lenses.linearize import Linearizer

FISHEYE = Lens(
    model="kb4",
    width_px=640,
    height_px=480,
    fx_px=290.0,
    fy_px=285.0,
    cx_px=322.5,
    cy_px=238.0,
    k=(-0.02, 0.005, -0.003, 0.0005),
)


def test_projection_is_opencvs() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-2, -2, 0.5], [2, 2, 3], (200, 3))
    matrix = np.array([[290.0, 0, 322.5], [0, 285.0, 238.0], [0, 0, 1]])
    expected, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), matrix, np.array(FISHEYE.k)
    )
    np.testing.assert_allclose(FISHEYE.project(points), expected[:, 0], atol=1e-6)


@given(st.floats(0, 639), st.floats(0, 479))
def test_unproject_inverts_project(x: float, y: float) -> None:
    pixel = np.array([x, y])
    for lens in (FISHEYE, Lens.pinhole(640, 480, 100)):
        ray = lens.unproject(pixel)
        assert np.linalg.norm(ray) == pytest.approx(1)
        np.testing.assert_allclose(lens.project(ray), pixel, atol=1e-4)


def test_scaling_keeps_the_rays() -> None:
    double = FISHEYE.scaled_to(1280, 960)
    # The pixel's centre (10, 20) lies at (20.5, 40.5) of a picture twice as large.
    np.testing.assert_allclose(
        double.unproject(np.array([20.5, 40.5])), FISHEYE.unproject(np.array([10.0, 20.0]))
    )


def test_straight_lines_become_straight() -> None:
    """A dot pattern on a plane, seen by the fisheye, lands where the pinhole would see it."""
    pinhole = Lens.pinhole(320, 240, 80)
    points = np.array([[x, y, 1.0] for x in (-0.6, 0.0, 0.6) for y in (-0.4, 0.0, 0.4)])
    raw = np.zeros((480, 640, 3), np.uint8)
    for u, v in FISHEYE.project(points):
        cv2.circle(raw, (round(u * 16), round(v * 16)), 5 * 16, (255, 255, 255), -1, 16, 4)
    grey = Linearizer(FISHEYE, pinhole)(raw)[..., 0]
    count, _, _, centres = cv2.connectedComponentsWithStats((grey > 100).astype(np.uint8))
    assert count == 1 + len(points)
    for expected in pinhole.project(points):
        assert np.linalg.norm(centres[1:] - expected, axis=1).min() < 0.6


def test_what_the_source_does_not_see_is_marked() -> None:
    narrow = Lens.pinhole(64, 48, 40)
    wide = Linearizer(narrow, Lens.pinhole(64, 48, 80))
    assert wide.visible[24, 32]
    assert not wide.visible[0, 0]
    assert Linearizer(Lens.pinhole(64, 48, 80), narrow).visible.all()
    with pytest.raises(ImageError, match=r"32x24.*64x48"):
        wide(np.zeros((24, 32, 3), np.uint8))
