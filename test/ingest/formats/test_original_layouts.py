"""Labelled runs: VINN's own data, pushing, and door opening."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from original_files import picture, write_run
from vinn.demos.frames import encode_jpeg
from vinn.demos.types import ActionScale
from vinn.errors import DatasetError
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.door_opening import moved_frames, read_door_opening, rotations
from vinn.ingest.formats.vinn_original import read_original


def test_original_handle_layout(tmp_path: Path) -> None:
    names = ["frame2.jpg", "frame10.jpg", "frame1.jpg"]
    labels = {name: [0.0, 3.0, 4.0, 0, 0, 0, g] for name, g in zip(names, (1, 0, 3), strict=True)}
    write_run(tmp_path / "train_all" / "run7", labels, "images_linear", names)
    with pytest.raises(DatasetError, match="--gripper-order"):
        list(read_original(tmp_path / "train_all", "door", None))
    (found,) = read_original(tmp_path / "train_all", "door", GripperOrder.OPEN_HIGH)
    assert found.meta.name == "run7" and found.meta.action_scale is ActionScale.UNIT
    np.testing.assert_allclose(found.camera_delta, [[0, 0.6, 0.8]] * 3)
    # In order frame1, frame2, frame10, and turned around: 3 was open.
    np.testing.assert_array_equal(found.gripper, [0, 2, 3])
    first = next(iter(found.frames_rgb)).astype(float)
    assert np.abs(first - picture(2)).mean() < 4


def test_original_push_layout(tmp_path: Path) -> None:
    write_run(tmp_path / "r", {"0.jpg": [[0, 0, 2]], "1.jpg": [[0, 0, 0]]}, "images",
              ["0.jpg", "1.jpg"])  # fmt: skip
    (found,) = read_original(tmp_path, "push", None)
    np.testing.assert_array_equal(found.camera_delta, [[0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(found.gripper, [0, 0])


def test_door_opening_deltas_are_in_the_frame_of_each_image(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(4)]
    yaw = math.pi / 2
    labels = {
        "0.jpg": {"xyz": [0, 0, 0], "rpy": [0, 0, yaw], "gripper": 1.0},
        "1.jpg": {"xyz": [0.05, 0, 0], "rpy": [0, 0, yaw], "gripper": 1.0},
        "2.jpg": {"xyz": [0.051, 0, 0], "rpy": [0, 0, yaw], "gripper": 1.0},
        "3.jpg": {"xyz": [0.05, 0, 0.02], "rpy": [0, 0, yaw], "gripper": 0.1},
    }
    write_run(tmp_path / "run", labels, "images", names)
    (found,) = read_door_opening(tmp_path, "door", GripperOrder.OPEN_HIGH)
    # Frame 2 hardly moved. World x is -y of a frame turned by 90 degrees about z.
    assert found.meta.provenance["frames"] == [0, 1, 3]
    np.testing.assert_allclose(found.camera_delta, [[0, -0.05, 0], [0, 0, 0.02]], atol=1e-12)
    np.testing.assert_array_equal(found.gripper, [0, 3])


def test_slow_motion_is_not_lost_by_the_small_step_filter() -> None:
    xyz = np.outer(np.arange(101) * 0.00101, [1.0, 0, 0])
    used = moved_frames(xyz, np.zeros((101, 3)), np.zeros(101))
    assert np.diff(used).tolist() == [10] * 10


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_rpy_is_rotations_about_fixed_axes(angles: list[float]) -> None:
    scipy = pytest.importorskip("scipy.spatial.transform")
    expected = scipy.Rotation.from_euler("xyz", angles).as_matrix()
    np.testing.assert_allclose(rotations(np.array([angles]))[0], expected, atol=1e-12)


def test_nothing_is_left_when_a_later_demonstration_is_bad(tmp_path: Path) -> None:
    write_run(tmp_path / "in" / "a", {"0.jpg": [[0, 0, 1]]}, "images", ["0.jpg"])
    write_run(tmp_path / "in" / "b", {"0.jpg": [["x", 0, 1]]}, "images", ["0.jpg"])
    with pytest.raises(DatasetError, match=r"b/labels\.json"):
        write_imported(read_original(tmp_path / "in", "push", None), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_a_label_may_not_name_a_file_elsewhere(tmp_path: Path) -> None:
    write_run(tmp_path / "in", {"../secret.jpg": [[0, 0, 1]]}, "images", [])
    (tmp_path / "in" / "secret.jpg").write_bytes(encode_jpeg(picture(0)))
    with pytest.raises(DatasetError, match="plain file name"):
        list(read_original(tmp_path, "push", None))
