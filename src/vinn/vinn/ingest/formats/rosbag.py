"""Demonstrations as rosbag2 recordings (MCAP), and from them.

Export: one directory a demonstration, one message a frame on each of

    wrist_camera/image_raw/compressed   sensor_msgs/CompressedImage   the frame's JPEG, unchanged
    demonstration/action                geometry_msgs/Vector3Stamped  camera frame, meters or unit
    demonstration/gripper               std_msgs/Int8                 state 0..3
    demonstration/meta                  std_msgs/String               meta.json, once

Import: such a recording, or any other with images (`vinn.ingest.formats.rosbag_foreign`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from rosbags.rosbag2 import StoragePlugin, Writer

from vinn.demos.files import atomic_directory
from vinn.demos.store import Dataset
from vinn.demos.types import DemonstrationMeta
from vinn.errors import DatasetError, ImageError
from vinn.ingest.formats.common import GripperOrder, Imported, numbers
from vinn.ingest.formats.rosbag_foreign import BagTopics, ForeignBag
from vinn.robot.config import CameraMount
from vinn.rollout.messages import header_fields, image_fields, serialize, typestore, vector_fields
from vinn.rollout.reader import read_recording
from vinn.rollout.recordings import find_recordings
from vinn.rollout.storage.images import compressed_rgb
from vinn.rollout.storage.rosbag2_metadata import VERSION
from vinn.rollout.storage.stored import recorded_types
from vinn.rollout.storage.topics import find_topics

IMAGE, ACTION = "wrist_camera/image_raw/compressed", "demonstration/action"
GRIPPER, META = "demonstration/gripper", "demonstration/meta"
_TYPES = {
    f"/{IMAGE}": "sensor_msgs/msg/CompressedImage",
    f"/{ACTION}": "geometry_msgs/msg/Vector3Stamped",
    f"/{GRIPPER}": "std_msgs/msg/Int8",
    f"/{META}": "std_msgs/msg/String",
}
_FRAME_NS = 10**9


def export_rosbag(
    dataset: Dataset, out: Path, on_progress: Callable[[int], None] | None = None
) -> None:
    """Write every demonstration as `out/NAME`, a rosbag2 directory that Humble and later read.

    Raises:
        DatasetError: `out` exists or cannot be written.
    """
    store = typestore()
    with atomic_directory(out, DatasetError) as folder:
        for count, demonstration in enumerate(dataset.demonstrations, start=1):
            meta = demonstration.meta
            step_ns = round(_FRAME_NS / (meta.frame_rate_hz or 1.0))
            bag = Writer(folder / meta.name, version=VERSION, storage_plugin=StoragePlugin.MCAP)
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


def read_rosbag(
    path: Path,
    task: str,
    topics: BagTopics,
    action_rate_hz: float,
    gripper_order: GripperOrder,
    mount: CameraMount,
    on_note: Callable[[str], None] | None = None,
) -> Iterator[Imported]:
    """Demonstrations from one recording, or from all in a folder.

    Args:
        path: any recording (`vinn.rollout.recording_files`), or a folder of such.
        task: for recordings that do not say it.
        topics: of recordings that this project did not export.
        action_rate_hz: frames used per second of such recordings.
        gripper_order: of gripper_aperture's range in such recordings.
        mount: how the camera sits on the gripper, for joint states.
        on_note: told in words where a recording was cut, and why.

    Raises:
        DatasetError: no recordings, damaged ones, or topics that are not there or of another type.
    """
    for bag in find_recordings([path]):
        types = recorded_types(bag)
        if f"/{META}" in types:
            yield _own(bag, types)
        else:
            foreign = ForeignBag(bag, types, topics, action_rate_hz, on_note or _nobody)
            yield from foreign.demonstrations(task, gripper_order, mount)


def _nobody(note: str) -> None:
    """Nobody wants to know."""


def _own(bag: Path, types: dict[str, str]) -> Imported:
    wanted = find_topics(bag, types, {name: (kind,) for name, kind in _TYPES.items()})
    found: dict[str, list[Any]] = {name: [] for name in _TYPES}
    for entry in read_recording(bag, wanted):
        found[wanted[entry.topic]].append(entry.message)
    try:
        meta = DemonstrationMeta.model_validate_json(found[f"/{META}"][0].data)
    except ValidationError as cause:
        raise DatasetError(f"{bag}: demonstration/meta is not what this project wrote") from cause
    images = found[f"/{IMAGE}"]
    frames = (_image(message, bag) for message in images)
    jpegs = (bytes(message.data) for message in images)
    if not meta.has_actions:
        return Imported(meta, frames, None, None, jpegs)
    vectors = [message.vector for message in found[f"/{ACTION}"]]
    delta = numbers([[v.x, v.y, v.z] for v in vectors] or np.empty((0, 3)), (len(images), 3),
                    f"{bag}: actions")  # fmt: skip
    states = numbers([message.data for message in found[f"/{GRIPPER}"]], (len(images),),
                     f"{bag}: gripper states")  # fmt: skip
    return Imported(meta, frames, delta, states.astype(np.int64), jpegs)


def _image(message: Any, bag: Path) -> Any:
    try:
        return compressed_rgb(message, f"{bag}: an image")
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause
