"""Archives of the app Record3D."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from original_files import write_r3d
from vinn.demos.frames import encode_jpeg
from vinn.errors import DatasetError
from vinn.ingest.formats.common import write_imported
from vinn.ingest.formats.record3d import read_record3d


def test_record3d_axes_and_rate(tmp_path: Path) -> None:
    # ARKit looks along -z with y up: 2 cm towards -z is 2 cm forward.
    poses = [[0, 0, 0, 1, 0, 0.01 * (i // 2), -0.01 * i] for i in range(5)]
    found = next(reader := read_record3d(write_r3d(tmp_path / "a.r3d", poses), "door", 1.0))
    np.testing.assert_allclose(found.camera_delta, [[0, -0.01, 0.02]] * 2, atol=1e-12)
    assert len(list(found.frames_rgb)) == 2 and found.meta.frame_rate_hz == 1.0
    assert list(reader) == []


def test_record3d_goes_by_the_frames_own_times(tmp_path: Path) -> None:
    """The phone slows down after a second; and a rate that does not divide the frame rate."""
    stamps = [*np.arange(30) / 30, *(1 + np.arange(20) / 10)]
    poses = [[0, 0, 0, 1, 0, 0, -float(t)] for t in stamps]
    path = write_r3d(tmp_path / "a.r3d", poses, 30, stamps=[100 + t for t in stamps])
    (found,) = read_record3d(path, "door", 5.0)
    np.testing.assert_allclose(found.camera_delta, [[0, 0, 0.2]] * 14, atol=1e-9)
    steady = [[0, 0, 0, 1, 0, 0, -0.01 * i] for i in range(61)]
    (found,) = read_record3d(write_r3d(tmp_path / "b.r3d", steady, 30), "door", 4.0)
    assert len(found.camera_delta) == 8
    np.testing.assert_allclose(found.camera_delta.sum(0), [0, 0, 0.6], atol=1e-9)
    for stamps in ([0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 2.0, 1.0], ["x", 1, 2]):
        bad = write_r3d(tmp_path / "c.r3d", poses[:3], 30, stamps=stamps)
        with pytest.raises(DatasetError, match="frameTimestamps"):
            list(read_record3d(bad, "door", 5.0))


@pytest.mark.parametrize("rotate_deg", [0, 90, 180, 270])
def test_record3d_turns_pictures_and_actions_together(tmp_path: Path, rotate_deg: int) -> None:
    """The phone moves to where its picture's bright corner is, however it is turned."""
    # ARKit's y is up: towards +x and -y of the world is right and down in the picture.
    poses = [[0, 0, 0, 1, 0.02 * i, -0.01 * i, 0.0] for i in range(3)]
    image = np.zeros((40, 64, 3), np.uint8)
    image[30:, 48:] = 255
    path = tmp_path / "a.r3d"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata", json.dumps({"poses": poses, "fps": 1}))
        for i in range(3):
            archive.writestr(f"rgbd/{i}.jpg", encode_jpeg(image))
    found = next(reader := read_record3d(path, "door", 1.0, rotate_deg))
    turned = next(iter(found.frames_rgb))
    assert list(reader) == []
    assert turned.shape[:2] == ((64, 40) if rotate_deg % 180 else (40, 64))
    assert (found.meta.camera.height_px, found.meta.camera.width_px) == turned.shape[:2]
    rows, columns = np.nonzero(turned[..., 0] > 128)
    centre = np.array([columns.mean() - turned.shape[1] / 2, rows.mean() - turned.shape[0] / 2])
    for delta in found.camera_delta:
        assert np.sign(delta[:2]).tolist() == np.sign(centre).tolist()
        assert np.linalg.norm(delta) == pytest.approx(np.hypot(0.02, 0.01))
    assert (abs(found.camera_delta[0][0]) > 0.015) == (rotate_deg % 180 == 0)
    with pytest.raises(DatasetError, match="rotate: 45; allowed: 0, 90, 180, 270"):
        list(read_record3d(path, "door", 1.0, 45))


def test_record3d_refusals(tmp_path: Path) -> None:
    still = [[0, 0, 0, 1, 0, 0, 0]] * 4
    moving = [[0, 0, 0, 1, 0, 0, 0.1 * i] for i in range(4)]
    for name, path, message in (
        ("still", write_r3d(tmp_path / "1.r3d", still), "poses are the same"),
        ("escape", write_r3d(tmp_path / "2.r3d", moving, extra="../../evil"), "leads out"),
        ("absolute", write_r3d(tmp_path / "3.r3d", moving, extra="/etc/evil"), "leads out"),
        ("quaternion", write_r3d(tmp_path / "4.r3d", [[1, 1, 1, 1, 0, 0, i] for i in range(4)]),
         "quaternion"),
        ("fps", write_r3d(tmp_path / "5.r3d", moving, fps=0), "fps"),
    ):  # fmt: skip
        with pytest.raises(DatasetError, match=message):
            write_imported(read_record3d(path, "x", 1.0), tmp_path / f"out-{name}")
        assert not (tmp_path / f"out-{name}").exists()
    assert not list(tmp_path.glob(".*")) and not (tmp_path.parent / "evil").exists()
