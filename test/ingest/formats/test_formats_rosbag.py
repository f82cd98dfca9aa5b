"""Recordings of others: compressed images with camera poses, or with Stretch's joint states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin, Writer
from vinn.demos.frames import encode_jpeg
from vinn.demos.store import Dataset
from vinn.errors import DatasetError
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.rosbag import read_rosbag
from vinn.ingest.formats.rosbag_foreign import BagTopics
from vinn.robot.config import CameraMount
from vinn.rollout.messages import header_fields, image_fields, serialize, typestore

POSES = BagTopics(pose="/camera_pose")
JOINTS = BagTopics()
_TYPES = {
    JOINTS.image: "sensor_msgs/msg/CompressedImage",
    "/camera_pose": "geometry_msgs/msg/PoseStamped",
    str(JOINTS.joints): "sensor_msgs/msg/JointState",
}
JPEG = encode_jpeg(
    cv2.resize(np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8), (64, 48))
)
SECOND = 10**9


def pose(x: float, y: float, z: float, quaternion: tuple[float, ...] = (0, 0, 0, 1)) -> dict:
    qx, qy, qz, qw = quaternion
    return {
        "header": header_fields(0),
        "pose": {
            "position": {"x": x, "y": y, "z": z},
            "orientation": {"x": qx, "y": qy, "z": qz, "w": qw},
        },
    }


def joints(lift: float, aperture: float, **changes: float) -> dict:
    values = {"joint_lift": lift, "wrist_extension": 0.2, "joint_wrist_yaw": 0.0,
              "gripper_aperture": aperture, **changes}  # fmt: skip
    return {
        "header": header_fields(0),
        "name": list(values),
        "position": np.array(list(values.values()), np.float64),
        "velocity": np.empty(0),
        "effort": np.empty(0),
    }


def record(folder: Path, messages: list[tuple[str, int, dict[str, Any]]]) -> Path:
    """A recording of (topic, time [ns], fields)."""
    bag = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
    with bag:
        topics = sorted({topic for topic, _, _ in messages})
        to = {t: bag.add_connection(t, _TYPES[t], typestore=typestore()) for t in topics}
        for topic, stamp_ns, fields in messages:
            bag.write(to[topic], stamp_ns, serialize(_TYPES[topic], fields))
    return folder


def images(count: int, jpeg: bytes = JPEG) -> list[tuple[str, int, dict[str, Any]]]:
    return [
        (JOINTS.image, i * SECOND, image_fields(jpeg, i * SECOND, "camera")) for i in range(count)
    ]


def imported(bag: Path, topics: BagTopics, out: Path, mount: CameraMount | None = None) -> Dataset:
    found = read_rosbag(
        bag, "door", topics, 1.0, GripperOrder.OPEN_HIGH, mount or CameraMount(tilt_rad=0.0)
    )
    write_imported(found, out)
    return Dataset.open(out)


def test_poses_become_steps_in_the_frame_of_each_image(tmp_path: Path) -> None:
    # Turned by 90 degrees about z: the world's x is the camera's -y.
    turned = (0, 0, np.sqrt(0.5), np.sqrt(0.5))
    path = [(0, 0, 0), (0.03, 0, 0), (0.03, 0, 0.02)]
    bag = record(
        tmp_path / "bag",
        images(3) + [("/camera_pose", i * SECOND, pose(*p, turned)) for i, p in enumerate(path)],
    )
    (found,) = imported(bag, POSES, tmp_path / "out").demonstrations
    np.testing.assert_allclose(found.camera_delta, [[0, -0.03, 0], [0, 0, 0.02]], atol=1e-7)
    assert found.meta.task == "door" and found.meta.frame_rate_hz == 1.0
    # The recording's pictures, byte for byte.
    assert [frame.read_bytes() for frame in found.frame_paths] == [JPEG] * 2


def test_joint_states_become_steps_of_the_camera(tmp_path: Path) -> None:
    states = [(0.80, 1.0), (0.85, 1.0), (0.85, 0.5), (0.85, 0.0)]
    messages = [
        (str(JOINTS.joints), i * SECOND, joints(*state, joint_wrist_yaw=0.0))
        for i, state in enumerate(states)
    ]
    bag = record(tmp_path / "bag", images(4) + messages)
    tilt = 0.3
    found = imported(bag, JOINTS, tmp_path / "out", CameraMount(tilt_rad=tilt)).demonstrations[0]
    # The lift goes up: against the camera's y (down), and back along the z of a lowered camera.
    up = 0.05 * np.array([0, -np.cos(tilt), -np.sin(tilt)])
    np.testing.assert_allclose(found.camera_delta, [up, np.zeros(3), np.zeros(3)], atol=1e-7)
    np.testing.assert_array_equal(found.gripper, [0, 2, 3])


STILL = [("/camera_pose", i * SECOND, pose(0, 0, 0)) for i in range(3)]


@pytest.mark.parametrize(
    ("messages", "topics", "message"),
    [
        (images(3) + STILL, POSES, "all poses are the same"),
        (
            [*images(3), (str(JOINTS.joints), 0, joints(0.8, 1.0))],
            JOINTS,
            "all poses are the same",
        ),
        (images(1) + STILL, POSES, "not even one step"),
        (STILL, POSES, "--image-topic"),
        (images(3), POSES, "--pose-topic"),
        (images(3), JOINTS, "--joints-topic"),
        (images(3) + [(t, s, pose(s, 0, 0, (1, 1, 1, 1))) for t, s, _ in STILL], POSES, "length"),
        (
            images(3, JPEG[:200]) + [(t, s, pose(s, 0, 0)) for t, s, _ in STILL],
            POSES,
            "truncated JPEG",
        ),
        (
            [*images(3), (str(JOINTS.joints), 0, joints(float("nan"), 1.0))],
            JOINTS,
            "not finite",
        ),
    ],
)
def test_refusals_leave_nothing(messages, topics, message: str, tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", messages)
    with pytest.raises(DatasetError, match=message) as caught:
        imported(bag, topics, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


numbers = st.floats(allow_nan=True, width=64) | st.sampled_from([0.0, 1.0, -1.0])
names = st.sampled_from(["joint_lift", "wrist_extension", "joint_wrist_yaw", "gripper_aperture"])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    poses=st.lists(st.tuples(*[numbers] * 7), max_size=4),
    states=st.lists(st.dictionaries(names, numbers), max_size=4),
    pictures=st.integers(0, 4),
    with_poses=st.booleans(),
)
def test_whatever_a_recording_says(
    poses, states, pictures: int, with_poses: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    messages = images(pictures)
    for i, (x, y, z, *quaternion) in enumerate(poses):
        messages.append(("/camera_pose", i * SECOND, pose(x, y, z, tuple(quaternion))))
    for i, values in enumerate(states):
        fields = joints(0.0, 0.0)
        fields |= {"name": list(values), "position": np.array(list(values.values()), np.float64)}
        messages.append((str(JOINTS.joints), i * SECOND, fields))
    bag = record(folder / "bag", messages)
    try:
        found = imported(bag, POSES if with_poses else JOINTS, folder / "out")
    except DatasetError as error:
        assert "\n" not in str(error)
        assert [path.name for path in folder.iterdir()] == ["bag"]
    else:
        assert all(np.isfinite(d.camera_delta).all() for d in found.demonstrations)
