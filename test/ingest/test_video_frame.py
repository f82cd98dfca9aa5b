"""Colours and the way up of films as phones and cameras write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lerobot_sets import KEY, LeRobotSet
from videos import MATRICES, turned, write_coloured, write_video
from vinn.errors import CameraError, DatasetError
from vinn.ingest.decode import probe_video, sample_frames
from vinn.ingest.formats.common import GripperOrder
from vinn.ingest.formats.lerobot_import import read_lerobot
from vinn.ingest.video_frame import frame_rgb


def quarters(height: int = 96, width: int = 128) -> np.ndarray:
    """Four colours; turned by any quarter the picture is another."""
    image = np.zeros((height, width, 3), np.uint8)
    for index, colour in enumerate([(200, 40, 40), (40, 200, 40), (40, 40, 200), (180, 170, 60)]):
        row, column = divmod(index, 2)
        rows = slice(row * height // 2, (row + 1) * height // 2)
        columns = slice(column * width // 2, (column + 1) * width // 2)
        image[rows, columns] = colour
    return image


def first(path: Path) -> np.ndarray:
    return next(iter(sample_frames(path, 5.0))).image_rgb


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference in the middles of the four quarters."""
    height, width = expected.shape[:2]
    spots = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return max(float(np.abs(found[s].astype(float) - expected[s]).max()) for s in spots)


@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_by_the_streams_own_matrix_and_range(
    tmp_path: Path, matrix: int, full_range: bool
) -> None:
    path = write_coloured(tmp_path / "a.mp4", quarters(), matrix, full_range)
    assert error(first(path), quarters()) <= 4


def test_a_lerobot_film_has_its_own_colours_too(tmp_path: Path) -> None:
    root = LeRobotSet([3]).write(tmp_path / "set")
    video = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    write_coloured(video, quarters(), 1, full_range=False)
    (found,) = read_lerobot(root, None, GripperOrder.OPEN_LOW)
    assert all(error(image, quarters()) <= 4 for image in found.frames_rgb)


def test_a_matrix_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    path = write_coloured(tmp_path / "odd.mp4", quarters(), 8, full_range=False)
    with pytest.raises(CameraError, match=r"odd\.mp4: colour matrix 8; allowed: 1 \(BT\.709\)"):
        first(path)


@pytest.mark.parametrize("clockwise_deg", [0, 90, 180, 270])
def test_a_phones_film_stands_upright(tmp_path: Path, clockwise_deg: int) -> None:
    plain = write_coloured(tmp_path / "plain.mp4", quarters(), 1, full_range=False)
    path = turned(plain, tmp_path / "turned.mp4", clockwise_deg)
    upright = np.rot90(quarters(), -clockwise_deg // 90)
    assert error(first(path), upright) <= 4
    info = probe_video(path)
    assert (info.height_px, info.width_px) == upright.shape[:2]


@pytest.mark.parametrize("clockwise_deg", [45, 100, -30])
def test_a_film_turned_by_something_else_is_refused(tmp_path: Path, clockwise_deg: float) -> None:
    plain = write_video(tmp_path / "plain.mp4", [quarters()] * 3, 10)
    path = turned(plain, tmp_path / "tilted.mp4", clockwise_deg)
    with pytest.raises(CameraError, match=r"tilted\.mp4: turned by .* multiples of 90"):
        probe_video(path)


def test_a_decoder_that_cannot_tell_is_refused() -> None:
    class OldFrame:
        width = height = 64

    with pytest.raises(CameraError, match=r"PyAV .* does not say how a film is turned"):
        frame_rgb(OldFrame(), "film.mp4")


def test_a_lerobot_film_that_is_too_odd_names_its_episode(tmp_path: Path) -> None:
    root = LeRobotSet([3]).write(tmp_path / "set")
    video = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    write_coloured(video, quarters(), 8, full_range=False)
    (found,) = read_lerobot(root, None, GripperOrder.OPEN_LOW)
    with pytest.raises(DatasetError, match=r"episode 0: .*colour matrix 8"):
        list(found.frames_rgb)
