"""Calibration of lenses that are known, from rendered pictures of the board."""

from __future__ import annotations

import itertools
import json
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from vinn.cli import camera
from vinn.cli.main import run
from vinn.errors import ConfigError, DatasetError
from vinn.ingest.lenses.calibration import Calibration, View, calibrate
from vinn.ingest.lenses.camera_profile import find_profile
from vinn.ingest.lenses.charuco import CalibrationBoard
from vinn.ingest.lenses.intrinsics import intrinsics_json, read_intrinsics
from vinn.ingest.lenses.lens import Lens

from measure.camera.board_pictures import FISHEYE, WEBCAM, picture, pictures

BOARD = CalibrationBoard()


@lru_cache
def views_through(lens: Lens) -> tuple[View, ...]:
    return tuple(View(*BOARD.detect(image)) for image in pictures(BOARD, lens, 18, seed=5))


def calibrated(lens: Lens, model: str) -> Calibration:
    return calibrate(views_through(lens), BOARD, lens.width_px, lens.height_px, model)


def disagreement_px(found: Lens, true: Lens, radius: float = 0.45) -> float:
    """Largest shift between the lenses within `radius` image widths of the centre."""
    grid = np.stack(np.meshgrid(np.linspace(0, 639, 33), np.linspace(0, 479, 25)), axis=-1)
    near = np.linalg.norm(grid - [319.5, 239.5], axis=-1) < radius * 640
    rays = true.unproject(grid)
    # What a rotation of the camera can hide is no error of the lens.
    seen = found.unproject(grid)[near]
    u, _, vt = np.linalg.svd(seen.T @ rays[near])
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    shift = found.project(rays[near] @ turn.T) - grid[near]
    return float(np.linalg.norm(shift, axis=-1).max())


@pytest.fixture(scope="module")
def fisheye() -> Calibration:
    return calibrated(FISHEYE, "kb4")


def test_a_fisheye_is_found_to_a_pixel(fisheye: Calibration) -> None:
    assert fisheye.rms_px < 0.3
    assert disagreement_px(fisheye.lens, FISHEYE) < 1.0
    assert abs(fisheye.lens.fx_px / FISHEYE.fx_px - 1) < 0.005
    assert fisheye.coverage > 0.7
    assert fisheye.warnings == ()


def test_a_pinhole_is_found_by_both_models() -> None:
    found = calibrated(WEBCAM, "pinhole")
    assert found.rms_px < 0.3
    assert disagreement_px(found.lens, WEBCAM) < 1.0
    assert disagreement_px(calibrated(WEBCAM, "kb4").lens, WEBCAM) < 1.5


def test_a_fisheye_taken_for_a_pinhole_is_warned_of() -> None:
    found = calibrated(FISHEYE, "pinhole")
    assert any("--model kb4" in warning for warning in found.warnings)


def test_corners_are_found_where_the_lens_puts_them() -> None:
    turn, _ = cv2.Rodrigues(np.array([0.2, -0.3, 0.1]))
    place = np.array([-0.12, -0.08, 0.3])
    ids, pixels = BOARD.detect(picture(BOARD, FISHEYE, turn, place, np.random.default_rng(0)))
    assert len(ids) >= 30
    expected = FISHEYE.project(BOARD.corners_m[ids] @ turn.T + place)
    missed_px = np.linalg.norm(pixels - expected, axis=1)
    assert np.median(missed_px) < 0.25
    assert missed_px.max() < 1.5
    # No shift: it would go into the lens as half a pixel of its centre.
    np.testing.assert_allclose((pixels - expected).mean(0), 0.0, atol=0.1)


def test_too_few_views_are_refused() -> None:
    with pytest.raises(DatasetError, match="0 pictures show 8 corners"):
        calibrate([View(np.zeros(0, np.int64), np.zeros((0, 2)))], BOARD, 640, 480, "kb4")


def test_a_spoilt_view_is_left_out() -> None:
    views = [view for view in views_through(FISHEYE) if view.usable]
    spoilt = View(views[0].ids, views[0].pixels + np.random.default_rng(1).normal(0, 12, (1, 2)))
    rolled = View(np.roll(views[1].ids, 3), views[1].pixels)
    found = calibrate([*views, spoilt, rolled], BOARD, 640, 480, "kb4")
    assert found.views <= len(views) + 1
    assert disagreement_px(found.lens, FISHEYE, radius=0.4) < 1.5


@lru_cache
def fisheye_pictures() -> tuple[np.ndarray, ...]:
    return tuple(pictures(BOARD, FISHEYE, 14, seed=8))


class LiveCamera:
    """The board is held before it after a few frames of nothing."""

    live = True
    frame_count = 0

    def __init__(self, shows_board: bool) -> None:
        nothing = np.full_like(fisheye_pictures()[0], 90)
        shown = fisheye_pictures() if shows_board else (nothing,)
        self._frames = itertools.chain([nothing] * 3, itertools.cycle(shown))
        self.reads = 0

    def read(self) -> tuple[np.ndarray, int]:
        self.reads += 1
        return next(self._frames), self.reads

    def close(self) -> None:
        pass


def test_a_live_camera_is_watched_until_there_are_enough_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = LiveCamera(shows_board=True)
    monkeypatch.setattr(camera, "open_source", lambda *asked: source)
    monkeypatch.setattr(camera, "_LIVE_VIEW_PERIOD_S", 0.0)
    out = tmp_path / "live.json"
    arguments = ["camera", "calibrate", "/dev/v4l/by-id/fake", "--out", str(out), "--views", "10"]
    assert run(arguments) == 0
    assert json.loads(out.read_text())["nr_calib_images"] <= 10
    assert source.reads <= 20


def test_a_live_camera_that_never_sees_the_board_ends_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(camera, "open_source", lambda *asked: LiveCamera(shows_board=False))
    out = tmp_path / "live.json"
    assert run(["camera", "calibrate", "/dev/x", "--out", str(out), "--timeout-s", "1"]) == 2
    assert "0 pictures show 8 corners" in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_the_command_writes_what_ingest_and_ros_read(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(fisheye_pictures()):
        cv2.imwrite(str(folder / f"{number:03}.png"), image)
    out = tmp_path / "webcam.json"
    assert run(["camera", "calibrate", str(folder), "--out", str(out)]) == 0
    profile = find_profile("webcam", (tmp_path,))
    assert profile.name == "webcam"
    assert disagreement_px(profile.lens, FISHEYE, radius=0.4) < 1.5
    content = json.loads(out.read_text())
    assert content["intrinsic_type"] == "FISHEYE"
    assert (content["image_width"], content["image_height"]) == (640, 480)
    info = yaml.safe_load((tmp_path / "webcam.camera_info.yaml").read_text())
    assert info["distortion_model"] == "equidistant"
    assert info["camera_matrix"]["data"][0] == pytest.approx(profile.lens.fx_px)
    assert run(["camera", "calibrate", str(folder), "--out", str(tmp_path / "x.yaml")]) == 2


@pytest.mark.parametrize("lens", [FISHEYE, WEBCAM])
def test_intrinsics_survive_their_file(tmp_path: Path, lens: Lens) -> None:
    file = tmp_path / "lens.json"
    file.write_text(intrinsics_json(lens, rms_px=0.2, views=20))
    read = read_intrinsics(file)
    assert read.fy_px == pytest.approx(lens.fy_px)
    assert read.model_copy(update={"fy_px": lens.fy_px}) == lens


def test_a_profile_may_name_the_file_of_its_lens(tmp_path: Path) -> None:
    (tmp_path / "webcam.json").write_text(intrinsics_json(FISHEYE, rms_px=0.2, views=20))
    file = tmp_path / "mounted.yaml"
    file.write_text("name: mounted\nlens: webcam.json\nstored: {width_px: 224, height_px: 224}\n")
    profile = find_profile("mounted", (tmp_path,))
    assert profile.lens.k == FISHEYE.k
    assert profile.stored_lens.width_px == 224
    file.write_text("name: mounted\nlens: other.json\n")
    with pytest.raises(ConfigError, match=r"other\.json"):
        find_profile("mounted", (tmp_path,))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"intrinsic_type": "DIVISION_UNDISTORTION"}, "DIVISION_UNDISTORTION"),
        ({"intrinsics": {}}, "focal_length is missing"),
        ({"image_width": -4}, "width_px"),
    ],
)
def test_bad_intrinsics_are_refused(tmp_path: Path, change: dict, says: str) -> None:
    file = tmp_path / "lens.json"
    content = json.loads(intrinsics_json(FISHEYE, rms_px=0.2, views=20)) | change
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"lens\.json") as error:
        read_intrinsics(file)
    assert says in str(error.value).replace("\n", " ")


@pytest.mark.parametrize("name", ["board.pdf", "board.png"])
def test_the_board_is_printed_in_its_size(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    assert run(["camera", "board", "--out", str(out), "--paper", "a4"]) == 0
    if out.suffix == ".png":
        page = cv2.cvtColor(cv2.imread(str(out)), cv2.COLOR_BGR2RGB)
        assert page.shape[:2] == (2480, 3508)
        ids, pixels = BOARD.detect(page)
        assert len(ids) == 8 * 5
        # 28 mm at 300 dots per inch.
        across = np.linalg.norm(pixels[ids == 1] - pixels[ids == 0])
        assert across == pytest.approx(28.0 / 25.4 * 300, abs=1.0)
    else:
        assert out.read_bytes().startswith(b"%PDF")
    assert run(["camera", "board", "--out", str(tmp_path / "b.gif")]) == 2
    assert run(["camera", "board", "--square-mm", "60", "--out", str(out)]) == 2
