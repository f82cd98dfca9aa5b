"""Demonstrations as rosbag2 recordings (MCAP), and from them.

Export: one directory a demonstration, one message a frame on each of

    wrist_camera/image_raw/compressed   sensor_msgs/CompressedImage   the frame's JPEG, unchanged
    demonstration/action                geometry_msgs/Vector3Stamped  camera frame, meters or unit
    demonstration/gripper               std_msgs/Int8                 state 0..3
    demonstration/meta                  std_msgs/String               meta.json, once

Import: such a recording, or any other with compressed images and camera poses, or images and
Stretch's joint states (with or without odometry).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from rosbags.rosbag2 import StoragePlugin, Writer

from vinn.demos.files import atomic_directory
from vinn.demos.frames import decode_jpeg
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale, DemonstrationMeta
from vinn.errors import DatasetError, ImageError
from vinn.ingest.formats.common import (
    GripperOrder,
    Imported,
    frame_meta,
    numbers,
    pose_deltas,
    rotations_from_quaternions,
    states_from_aperture,
)
from vinn.robot.config import CameraMount, WristGeometry
from vinn.robot.kinematics import base_T_gripper, gripper_R_camera, rotation_z
from vinn.rollout.messages import header_fields, image_fields, serialize, typestore, vector_fields
from vinn.rollout.rosbag2 import is_rosbag2_directory, rosbag2_messages

IMAGE, ACTION = "wrist_camera/image_raw/compressed", "demonstration/action"
GRIPPER, META = "demonstration/gripper", "demonstration/meta"
_TYPES = {
    f"/{IMAGE}": "sensor_msgs/msg/CompressedImage",
    f"/{ACTION}": "geometry_msgs/msg/Vector3Stamped",
    f"/{GRIPPER}": "std_msgs/msg/Int8",
    f"/{META}": "std_msgs/msg/String",
}
_FRAME_NS = 10**9
_NO_MOTION = 1e-9


def export_rosbag(
    dataset: Dataset, out: Path, on_progress: Callable[[int], None] | None = None
) -> None:
    """Write every demonstration as `out/NAME`, a rosbag2 directory.

    Raises:
        DatasetError: `out` exists or cannot be written.
    """
    store = typestore()
    with atomic_directory(out, DatasetError) as folder:
        for count, demonstration in enumerate(dataset.demonstrations, start=1):
            meta = demonstration.meta
            step_ns = round(_FRAME_NS / (meta.frame_rate_hz or 1.0))
            bag = Writer(folder / meta.name, version=9, storage_plugin=StoragePlugin.MCAP)
            with bag:
                to = {
                    topic: bag.add_connection(topic, kind, typestore=store)
                    for topic, kind in _TYPES.items()
                    if meta.has_actions or topic in (f"/{IMAGE}", f"/{META}")
                }

                def write(topic: str, stamp_ns: int, fields: dict[str, Any]) -> None:
                    connection = to[f"/{topic}"]  # noqa: B023
                    data = serialize(_TYPES[f"/{topic}"], fields)
                    bag.write(connection, stamp_ns, data)  # noqa: B023

                write(META, 0, {"data": meta.model_dump_json()})
                for i, path in enumerate(demonstration.frame_paths):
                    stamp_ns = i * step_ns
                    write(IMAGE, stamp_ns, image_fields(path.read_bytes(), stamp_ns, "camera"))
                    if meta.has_actions:
                        vector = vector_fields(demonstration.camera_delta[i])
                        header = header_fields(stamp_ns, "camera")
                        write(ACTION, stamp_ns, {"header": header, "vector": vector})
                        write(GRIPPER, stamp_ns, {"data": int(demonstration.gripper[i])})
            if on_progress is not None:
                on_progress(count)


@dataclass(frozen=True)
class BagTopics:
    """Where a foreign recording has what.

    Attributes:
        image: compressed images.
        pose: geometry_msgs/PoseStamped of the camera's optical frame in the world; None uses joint
            states.
        joints: sensor_msgs/JointState with joint_lift, wrist_extension, joint_wrist_yaw, -pitch,
            -roll and gripper_aperture.
        odometry: nav_msgs/Odometry of the base; None where the base stands.
    """

    image: str = "/wrist_camera/image_raw/compressed"
    pose: str | None = None
    joints: str | None = "/stretch/joint_states"
    odometry: str | None = "/odom"


def read_rosbag(
    path: Path,
    task: str,
    topics: BagTopics,
    action_rate_hz: float,
    gripper_order: GripperOrder,
    mount: CameraMount,
) -> Iterator[Imported]:
    """Demonstrations from one rosbag2 directory, or from all below a folder.

    Args:
        path: directory with `metadata.yaml`, or a folder of such.
        task: for recordings that do not say it.
        topics: of recordings that this project did not export.
        action_rate_hz: frames used per second of such recordings.
        gripper_order: of gripper_aperture's range in such recordings.
        mount: how the camera sits on the gripper, for joint states.

    Raises:
        DatasetError: no recordings, damaged ones, or topics that are not there.
    """
    bags = [path] if is_rosbag2_directory(path) else sorted(
        folder.parent for folder in path.glob("*/metadata.yaml")
    )  # fmt: skip
    if not bags:
        raise DatasetError(f"{path}: neither a rosbag2 directory nor a folder of such")
    for bag in bags:
        wanted = {*_TYPES, topics.image, topics.pose, topics.joints, topics.odometry} - {None}
        found: dict[str, list[tuple[int, Any]]] = {}
        for topic, _, stamp_ns, message in rosbag2_messages(bag, {str(t) for t in wanted}):
            found.setdefault(topic, []).append((stamp_ns, message))
        if f"/{META}" in found:
            yield _own(bag, found)
        else:
            yield _foreign(bag, found, task, topics, action_rate_hz, gripper_order, mount)


def _own(bag: Path, found: dict[str, list[tuple[int, Any]]]) -> Imported:
    try:
        meta = DemonstrationMeta.model_validate_json(found[f"/{META}"][0][1].data)
    except (ValidationError, AttributeError) as cause:
        raise DatasetError(f"{bag}: demonstration/meta is not what this project wrote") from cause
    images = [message for _, message in found.get(f"/{IMAGE}", [])]
    frames = (_image(message, bag) for message in images)
    jpegs = (bytes(message.data) for message in images)
    if not meta.has_actions:
        return Imported(meta, frames, None, None, jpegs)
    vectors = [m.vector for _, m in found.get(f"/{ACTION}", [])]
    delta = numbers([[v.x, v.y, v.z] for v in vectors] or np.empty((0, 3)), (len(images), 3),
                    f"{bag}: actions")  # fmt: skip
    states = numbers([m.data for _, m in found.get(f"/{GRIPPER}", [])], (len(images),),
                     f"{bag}: gripper states")  # fmt: skip
    return Imported(meta, frames, delta, states.astype(np.int64), jpegs)


def _foreign(
    bag: Path,
    found: dict[str, list[tuple[int, Any]]],
    task: str,
    topics: BagTopics,
    action_rate_hz: float,
    order: GripperOrder,
    mount: CameraMount,
) -> Imported:
    images = found.get(topics.image)
    if not images:
        raise DatasetError(f"{bag}: no messages on {topics.image} (--image-topic)")
    stamps = np.array([stamp for stamp, _ in images])
    ticks = np.arange(stamps[0], stamps[-1] + 1, _FRAME_NS / action_rate_hz)
    used = np.unique(np.minimum(np.searchsorted(stamps, ticks), len(stamps) - 1))
    if len(used) < 2:
        raise DatasetError(f"{bag}: {len(images)} images are not even one step")
    times = stamps[used]
    gripper = np.zeros(len(used))
    if topics.pose is not None:
        source = found.get(topics.pose)
        if not source:
            raise DatasetError(f"{bag}: no messages on {topics.pose} (--pose-topic)")
        rows = [_pose_row(message) for _, message in _at(source, times)]
        poses = numbers(rows, (len(used), 7), f"{bag}: poses")
        positions, axes = poses[:, :3], rotations_from_quaternions(poses[:, 3:], str(bag))
    else:
        source = found.get(str(topics.joints))
        if not source:
            raise DatasetError(f"{bag}: no messages on {topics.joints} (--joints-topic)")
        joints = [_joints(message, bag) for _, message in _at(source, times)]
        base = found.get(str(topics.odometry))
        odometry = [message for _, message in _at(base, times)] if base else [None] * len(used)
        placed = [_camera(j, o, mount) for j, o in zip(joints, odometry, strict=True)]
        positions, axes = (np.stack(part) for part in zip(*placed, strict=True))
        gripper = np.array([values["gripper_aperture"] for values in joints])
    motion = max(float(np.ptp(values, axis=0).max()) for values in (positions, axes, gripper))
    if motion < _NO_MOTION:
        raise DatasetError(f"{bag}: all poses are the same: nothing moves, or tracking was off")
    low, high = float(gripper.min()), float(gripper.max())
    states = (
        states_from_aperture(gripper, order, low, high)
        if high > low
        else np.zeros(len(used), np.int64)
    )
    meta = frame_meta(
        bag.name,
        task,
        _image(images[used[0]][1], bag),
        topics.image.strip("/"),
        ActionScale.METRIC,
        {"tool": "vinn demos import", "format": "rosbag2"},
        action_rate_hz,
    )
    frames = (_image(images[i][1], bag) for i in used[:-1])
    jpegs = (bytes(images[i][1].data) for i in used[:-1])
    return Imported(meta, frames, pose_deltas(positions, axes), states[1:], jpegs)


def _at(messages: list[tuple[int, Any]], times_ns: NDArray[np.int64]) -> list[tuple[int, Any]]:
    """For each time, the last message at or before it; the first one before that."""
    stamps = np.array([stamp for stamp, _ in messages])
    return [messages[max(0, i - 1)] for i in np.searchsorted(stamps, times_ns, side="right")]


def _pose_row(message: Any) -> list[float]:
    pose = getattr(message, "pose", None)
    if pose is None or not hasattr(pose, "position"):
        raise DatasetError("the pose topic is not geometry_msgs/PoseStamped")
    p, q = pose.position, pose.orientation
    return [p.x, p.y, p.z, q.x, q.y, q.z, q.w]


def _joints(message: Any, bag: Path) -> dict[str, float]:
    values = dict(zip(message.name, (float(v) for v in message.position), strict=False))
    for name in ("joint_lift", "wrist_extension", "joint_wrist_yaw", "gripper_aperture"):
        if name not in values:
            raise DatasetError(f"{bag}: joint states lack '{name}'")
    if not np.isfinite(list(values.values())).all():
        raise DatasetError(f"{bag}: joint states are not finite")
    return values


def _camera(
    joints: dict[str, float], odometry: Any, mount: CameraMount
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position of the grasp centre and the camera's optical axes.

    With the wrist held, the camera's translations are those of the grasp centre.
    """
    pose = base_T_gripper(
        joints["joint_lift"],
        joints["wrist_extension"],
        joints["joint_wrist_yaw"],
        joints.get("joint_wrist_pitch", 0.0),
        joints.get("joint_wrist_roll", 0.0),
        WristGeometry(),
    )
    turn, offset = np.eye(3), np.zeros(3)
    if odometry is not None:
        base = odometry.pose.pose
        q = base.orientation
        turn = rotation_z(float(np.arctan2(2 * (q.w * q.z + q.x * q.y),
                                           1 - 2 * (q.y * q.y + q.z * q.z))))  # fmt: skip
        offset = np.array([base.position.x, base.position.y, base.position.z])
    return offset + turn @ pose[:3, 3], turn @ pose[:3, :3] @ gripper_R_camera(mount)


def _image(message: Any, bag: Path) -> NDArray[np.uint8]:
    try:
        return decode_jpeg(bytes(message.data), f"{bag}: an image")
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause
