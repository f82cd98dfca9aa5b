"""Every kind of file that the product reads: a sound one, and what reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lerobot_sets import LeRobotSet, cells
from made_artefacts import (
    cloned,
    make_control,
    make_demos,
    make_encoder,
    make_policy,
    old_demos,
    read_demos,
    rich_policy,
    use_encoder,
    use_policy,
    use_with_hashes_anew,
)
from made_recordings import (
    door_opening,
    imported,
    lerobot_own,
    make_bag,
    make_cut,
    make_original,
    make_record3d,
    make_recording,
    own_bag,
    played,
    repair,
    use_bag,
    use_lerobot,
    use_own_bag,
    use_recording,
)
from made_settings import (
    copied,
    make_aruco,
    make_camera_info,
    make_classifier,
    make_clip,
    make_images,
    make_intrinsics,
    make_mask,
    make_results,
    make_video,
    make_weights,
    read_camera_info,
    start_pose,
    training,
    use_clip,
    use_images,
    use_source,
    use_video,
)
from rosbags.rosbag2 import StoragePlugin
from tiny_encoder import square_image
from vinn.demos.frames import encode_jpeg
from vinn.encoders.state_dict import read_state_dict
from vinn.errors import VinnError
from vinn.evaluation.results import Results
from vinn.ingest.formats.common import GripperOrder
from vinn.ingest.formats.door_opening import read_door_opening
from vinn.ingest.formats.record3d import read_record3d
from vinn.ingest.formats.vinn_original import read_original
from vinn.ingest.gripper.aruco import ArucoGripper
from vinn.ingest.gripper.classifier import GripperClassifier
from vinn.ingest.gripper.mask import read_mask
from vinn.ingest.lenses.camera_profile import load_profile
from vinn.ingest.lenses.lens import Lens
from vinn.paper.ablations.run import load_beyond_config
from vinn.paper.closed_loop.config import load_closed_loop_config
from vinn.paper.offline.config import load_tables_config
from vinn.policies.preset import load_preset
from vinn.robot.config import load_robot_config
from vinn.robot.saved_start import load_start_pose
from vinn.rollout.config import load_rollout_config
from vinn.tasks.registry import task_settings

CONFIG = Path(__file__).parents[2] / "config"
RECORDING = "s.mcap"
LENS = Lens.pinhole(64, 48, 60)
JPEG = encode_jpeg(square_image(0.3, 0.6))
SECOND_NS = 10**9


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: for people.
        make: writes sound files below a folder.
        read: reads all of them as the product does; returns the numbers it would use.
        covered: a checksum covers every byte, so that no change may pass with other numbers.
        files: which of them are changed, as globs.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    covered: bool = False
    files: tuple[str, ...] = ("**/*",)


def digest(value: object) -> str:
    """Equal for equal numbers."""
    found = hashlib.sha256()

    def add(part: object) -> None:
        if isinstance(part, np.ndarray):
            found.update(f"{part.shape}{part.dtype}".encode() + part.tobytes())
        elif isinstance(part, list | tuple):
            found.update(f"[{len(part)}".encode())
            for one in part:
                add(one)
        else:
            found.update(repr(part).encode())

    add(value)
    return found.hexdigest()


KINDS = (
    Kind("demonstrations", make_demos, read_demos, covered=True),
    Kind("demonstrations without checksums", old_demos, read_demos),
    Kind("policy artefact", make_policy, use_policy, covered=True),
    Kind("policy artefact with metric, subspace, index", rich_policy, use_policy, covered=True),
    Kind("policy artefact, open loop", make_control, use_policy, covered=True),
    Kind("policy artefact, behaviour cloning", cloned, use_policy, covered=True),
    Kind("encoder artefact", make_encoder, use_encoder, covered=True),
    Kind(
        "policy artefact, hashes made anew",
        rich_policy,
        use_with_hashes_anew,
        files=("policy/*.*", "policy/index/*"),
    ),
    Kind("heads, hashes made anew", cloned, use_with_hashes_anew, files=("policy/heads.npz",)),
    Kind("recording (MCAP) and its label", make_recording, use_recording),
    Kind("recording that was cut off, repaired", make_cut, repair, files=("*.partial",)),
    Kind("rosbag2 with MCAP", lambda root: make_bag(root, StoragePlugin.MCAP), use_bag),
    Kind("rosbag2 with sqlite3", lambda root: make_bag(root, StoragePlugin.SQLITE3), use_bag),
    Kind("rosbag2 that is played", lambda root: make_bag(root, StoragePlugin.SQLITE3), played),
    Kind("exported rosbag2", own_bag, use_own_bag),
    Kind(
        "vinn-original labels and images",
        make_original,
        lambda root: imported(root, read_original(root / "runs", "t", GripperOrder.OPEN_LOW)),
    ),
    Kind(
        "door-opening-data poses and images",
        door_opening,
        lambda root: imported(root, read_door_opening(root / "runs", "t", GripperOrder.OPEN_LOW)),
    ),
    Kind(
        "Record3D archive",
        make_record3d,
        lambda root: imported(root, read_record3d(root / "clip.r3d", "t", 1.0)),
    ),
    Kind(
        "LeRobot set with video", lambda root: LeRobotSet([3, 2]).write(root / "set"), use_lerobot
    ),
    Kind(
        "LeRobot set with pictures",
        lambda root: LeRobotSet([3, 2], table_pictures=cells(5)).write(root / "set"),
        use_lerobot,
    ),
    Kind("exported LeRobot set", lerobot_own, use_lerobot),
    Kind(
        "robot configuration and tools",
        copied("robot/stretch.yaml", "robot/tools.yaml"),
        lambda root: load_robot_config(root / "stretch.yaml"),
    ),
    Kind(
        "rollout configuration",
        copied("robot/rollout.yaml"),
        lambda root: load_rollout_config(root / "rollout.yaml"),
    ),
    Kind("saved start pose", start_pose, lambda root: load_start_pose(root / "start.yaml")),
    Kind(
        "policy preset",
        copied("policy/vinn-plus.yaml"),
        lambda root: load_preset(str(root / "vinn-plus.yaml")),
    ),
    Kind(
        "table settings",
        copied("tables/quick.yaml"),
        lambda root: load_tables_config(str(root / "quick.yaml")),
    ),
    Kind(
        "closed-loop settings",
        copied("closed_loop/quick.yaml"),
        lambda root: load_closed_loop_config(str(root / "quick.yaml")),
    ),
    Kind(
        "settings of eval beyond",
        copied("beyond/validation.yaml"),
        lambda root: load_beyond_config(str(root / "validation.yaml")),
    ),
    Kind(
        "task settings",
        copied("tasks/door.yaml"),
        lambda root: task_settings("door", root / "door.yaml"),
    ),
    Kind("training settings", copied("train/byol-small.yaml"), training),
    Kind(
        "camera profile",
        copied("../src/vinn/vinn/ingest/lenses/cameras/sim_fisheye.yaml"),
        lambda root: load_profile(root / "sim_fisheye.yaml").mask(),
    ),
    Kind(
        "camera calibration (JSON)", make_intrinsics, lambda root: load_profile(root / "lens.json")
    ),
    Kind("camera info (YAML)", make_camera_info, read_camera_info),
    Kind(
        "ArUco gripper profile", make_aruco, lambda root: ArucoGripper.load(root / "gripper.yaml")
    ),
    Kind(
        "gripper classifier", make_classifier, lambda root: GripperClassifier.load(root / "g.npz")
    ),
    Kind("gripper mask", make_mask, lambda root: read_mask(root / "mask.png", LENS)),
    Kind("film", make_video, use_video),
    Kind("film as a camera", make_video, use_source),
    Kind("folder of images", make_images, use_images),
    Kind("work folder of a clip", make_clip, use_clip),
    Kind(
        "weight files of torch",
        make_weights,
        lambda root: [
            list(read_state_dict(root / name).values()) for name in ("new.pth", "old.pth")
        ],
    ),
    Kind("results", make_results, lambda root: Results.read(root / "some.json")),
)


def is_refusal(error: BaseException) -> bool:
    """One line that a user can be shown."""
    return isinstance(error, VinnError) and "\n" not in str(error)
