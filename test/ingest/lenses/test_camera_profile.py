from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vinn.errors import ConfigError
from vinn.ingest.lenses.camera_profile import SHIPPED, find_profile, load_profile

GOOD = """
name: phone
lens: {model: pinhole, width_px: 1280, height_px: 720,
       fx_px: 900, fy_px: 900, cx_px: 640, cy_px: 360}
output: {projection: linear, width_px: 640, height_px: 360, horizontal_fov_deg: 60}
"""


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_profiles_load_and_have_their_files_name(path: Path) -> None:
    profile = load_profile(path)
    assert profile.name == path.stem
    assert find_profile(path.stem, ()) == profile


def test_mask_covers_the_polygon(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(GOOD + "gripper_mask: [[[0.25, 0.5], [0.75, 0.5], [0.75, 1], [0.25, 1]]]\n")
    mask = load_profile(path).mask()
    assert mask is not None and mask.shape == (360, 640)
    assert mask[300, 320] and not mask[100, 320] and not mask[300, 20]
    assert mask.mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "mapping"),
        ("name: [", "not YAML in line 1"),
        (GOOD + "colour: blue\n", "colour"),
        (GOOD.replace("fx_px: 900", "fx_px: -1"), "lens.fx_px"),
        (GOOD.replace("pinhole", "kb4"), "k .four coefficients"),
        (GOOD + "gripper_mask: [[[0, 5], [1, 1], [0, 1]]]\n", "gripper_mask"),
    ],
)
def test_bad_profiles_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_profile(path)
    assert "bad.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_name_lists_the_known_ones() -> None:
    message = r"known: gopro_max_lens, gopro_wide, sim_fisheye; make one .* --out my_phone\.json"
    with pytest.raises(ConfigError, match=message):
        find_profile("my_phone", ())


def test_ones_own_profile_wins_over_one_of_the_package(tmp_path: Path) -> None:
    own = (SHIPPED / "gopro_wide.yaml").read_text().replace("439.13", "450.0")
    (tmp_path / "gopro_wide.yaml").write_text(own)
    assert find_profile("gopro_wide", (tmp_path,)).lens.fx_px == 450.0
    assert find_profile("gopro_wide", ()).lens.fx_px == 439.13


def test_the_published_wide_view_is_as_wide_as_its_maker_says() -> None:
    """118 degrees across a 16:9 picture."""
    lens = find_profile("gopro_wide", ()).lens
    left, right = lens.unproject(np.array([[0.0, lens.cy_px], [lens.width_px - 1.0, lens.cy_px]]))
    angle = np.degrees(np.arccos(left @ right / np.linalg.norm(left) / np.linalg.norm(right)))
    assert 115 < angle < 125


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_pixel_of_the_output_is_seen_from_one_direction(path: Path) -> None:
    """A polynomial that turns back within the picture would fold it."""
    profile = load_profile(path)
    out = profile.output_lens
    rng = np.random.default_rng(0)
    size = (out.width_px - 1, out.height_px - 1)
    pixels = np.vstack([rng.uniform((0, 0), size, (200, 2)), [(0, 0), size]])
    rays = out.unproject(pixels)
    assert np.isfinite(rays).all()
    there = profile.lens.project(rays)
    again = profile.lens.unproject(there)
    np.testing.assert_allclose(out.project(again), pixels, atol=0.05)


def test_another_aspect_ratio_is_refused_and_another_size_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(GOOD)
    profile = load_profile(path)
    half = profile.lens_for(640, 360, "clip")
    assert half.fx_px == 450 and np.isclose(half.cx_px, 319.75)
    with pytest.raises(ConfigError, match=r"640x480.*phone.*1280x720"):
        profile.lens_for(640, 480, "clip")
