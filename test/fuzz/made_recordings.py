"""Sound recordings and sets of other formats, and what reads them."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from made_artefacts import make_policy
from recorded_rollout import record_rollout
from rosbags.rosbag2 import StoragePlugin, Writer
from tiny_encoder import square_image, write_square_demos
from vinn.demos.frames import encode_jpeg
from vinn.demos.types import ActionScale
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.lerobot_export import export_lerobot
from vinn.ingest.formats.lerobot_import import read_lerobot
from vinn.ingest.formats.rosbag import BagTopics, export_rosbag, read_rosbag
from vinn.ingest.lenses.lens import Lens
from vinn.recordings.rollout_demonstration import add_rollout
from vinn.recordings.tracks import load_tracks
from vinn.robot.config import CameraMount
from vinn.rollout.label import RolloutLabel, read_label, write_label
from vinn.rollout.messages import image_fields, serialize, typestore
from vinn.rollout.reader import read_recording, summarize_recording, timed_messages
from vinn.rollout.recorder import RolloutRecorder
from vinn.rollout.repair import repair_recording
from vinn.rollout.storage.stored import recorded_types
from vinn.viz.timeline import load_timeline

CONFIG = Path(__file__).parents[2] / "config"
RECORDING = "s.mcap"
LENS = Lens.pinhole(64, 48, 60)
JPEG = encode_jpeg(square_image(0.3, 0.6))
SECOND_NS = 10**9


def make_recording(root: Path) -> None:
    make_policy(root)
    record_rollout(root / RECORDING, root / "policy")
    shutil.rmtree(root / "policy")
    write_label(root, RolloutLabel("s", True, "opened"))


def use_recording(root: Path) -> object:
    path = root / RECORDING
    count = sum(1 for _ in read_recording(path))
    summary, label = summarize_recording(path), read_label(path)
    load_timeline(path)
    load_tracks(path)
    shutil.rmtree(root / "out", ignore_errors=True)
    add_rollout(path, root / "out", CameraMount(), force=True)
    return count, summary.message_counts, label


def make_cut(root: Path) -> None:
    """As a killed process leaves it: what was written, and no end."""
    with RolloutRecorder(root / RECORDING, {"session": "s"}, min_free_bytes=0) as recorder:
        for i in range(6):
            stamp_ns = (i + 1) * SECOND_NS
            image = image_fields(JPEG, stamp_ns, "camera")
            recorder.write_message(
                BagTopics.image,
                "sensor_msgs/msg/CompressedImage",
                image,
                stamp_ns,
            )
        written = (root / "s.mcap.partial").read_bytes()
        recorder.close({"reason": "SUCCESS"})
    (root / RECORDING).unlink()
    (root / "s.mcap.partial").write_bytes(written)


def repair(root: Path) -> object:
    (root / RECORDING).unlink(missing_ok=True)
    return repair_recording(root / "s.mcap.partial", keep=True).messages


def make_bag(root: Path, plugin: StoragePlugin) -> None:
    kind = "sensor_msgs/msg/CompressedImage"
    pose = "geometry_msgs/msg/PoseStamped"
    with Writer(root / "bag", version=8, storage_plugin=plugin) as bag:
        images = bag.add_connection(BagTopics.image, kind, typestore=typestore())
        poses = bag.add_connection("/pose", pose, typestore=typestore())
        for i in range(5):
            stamp_ns = (i + 1) * SECOND_NS
            bag.write(images, stamp_ns, serialize(kind, image_fields(JPEG, stamp_ns, "camera")))
            position = {"x": 0.01 * i, "y": 0.0, "z": 0.02 * i}
            fields = {"pose": {"position": position, "orientation": {"w": 1.0}}}
            bag.write(poses, stamp_ns, serialize(pose, fields))


def use_bag(root: Path) -> object:
    topics = BagTopics(pose="/pose")
    summarize_recording(root / "bag")
    return imported(
        root,
        read_rosbag(root / "bag", "t", topics, 1.0, GripperOrder.OPEN_LOW, CameraMount()),
    )


def own_bag(root: Path) -> None:
    export_rosbag(write_square_demos(root / "demos", 1), root / "bags")
    shutil.rmtree(root / "demos")


def use_own_bag(root: Path) -> object:
    return imported(
        root,
        read_rosbag(root / "bags", "t", BagTopics(), 1.0, GripperOrder.OPEN_LOW, CameraMount()),
    )


def played(root: Path) -> object:
    """As the bag player reads it."""
    topics = recorded_types(root / "bag")
    return [topics, [message.stamp_ns for message in timed_messages(root / "bag")]]


def imported(root: Path, found: Any) -> object:
    out = root / "imported"
    shutil.rmtree(out, ignore_errors=True)
    count = write_imported(found, out)
    shutil.rmtree(out)
    return count


def make_original(root: Path) -> None:
    run = root / "runs" / "one"
    (run / "images").mkdir(parents=True)
    labels = {f"{i}.jpg": [0.1 * i, 0.2, 0.3, 0, 0, 0, i % 4] for i in range(4)}
    for i, name in enumerate(labels):
        (run / "images" / name).write_bytes(encode_jpeg(square_image(0.1 * i, 0.5)))
    (run / "labels.json").write_text(json.dumps(labels))


def door_opening(root: Path) -> None:
    run = root / "runs" / "one"
    run.mkdir(parents=True)
    labels = {
        f"{i}.jpg": {"xyz": [0.02 * i, 0, 0], "rpy": [0, 0, 0.1 * i], "gripper": 0.2 * i}
        for i in range(4)
    }
    for i, name in enumerate(labels):
        (run / name).write_bytes(encode_jpeg(square_image(0.1 * i, 0.5)))
    (run / "labels.json").write_text(json.dumps(labels))


def make_record3d(root: Path) -> None:
    with zipfile.ZipFile(root / "clip.r3d", "w", zipfile.ZIP_DEFLATED) as archive:
        poses = [[0, 0, 0, 1, 0.01 * i, 0, 0.02 * i] for i in range(6)]
        archive.writestr("metadata", json.dumps({"poses": poses, "fps": 2}))
        for i in range(6):
            archive.writestr(f"rgbd/{i}.jpg", JPEG)


def lerobot_own(root: Path) -> None:
    export_lerobot(write_square_demos(root / "demos", 2), root / "set")
    shutil.rmtree(root / "demos")


def use_lerobot(root: Path) -> object:
    return imported(
        root, read_lerobot(root / "set", None, GripperOrder.OPEN_LOW, ActionScale.METRIC)
    )
