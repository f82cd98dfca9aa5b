"""Sound settings, calibrations, films and clips, and what reads them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import yaml
from tiny_encoder import square_image
from torch_file import legacy_file, zip_file
from videos import grey_levels, write_video
from vinn.demos.frames import encode_jpeg, read_image
from vinn.demos.types import GripperState
from vinn.evaluation.results import Results
from vinn.ingest.assignment import assign_clips
from vinn.ingest.clip import ClipFolder, Evidence
from vinn.ingest.decode import SampledFrame, probe_video, sample_frames
from vinn.ingest.frame_source import open_source
from vinn.ingest.gripper.classifier import train_classifier
from vinn.ingest.gripper.mask import write_mask
from vinn.ingest.lenses.intrinsics import camera_info_yaml, intrinsics_json
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.motion.mappers import Mapping
from vinn.ingest.motion.sfm import Reconstruction
from vinn.ingest.motion.steps import Assessment, Step, StepReason
from vinn.reading.config_file import read_mapping

CONFIG = Path(__file__).parents[2] / "config"
RECORDING = "s.mcap"
LENS = Lens.pinhole(64, 48, 60)
JPEG = encode_jpeg(square_image(0.3, 0.6))
SECOND_NS = 10**9


def copied(*names: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for name in names:
            shutil.copyfile(CONFIG / name, root / Path(name).name)

    return make


def start_pose(root: Path) -> None:
    (root / "start.yaml").write_text("lift_m: 0.6\narm_m: 0.1\nwrist_yaw_rad: 0.0\n")


def training(root: Path) -> object:
    """The file's own keys; torch is not needed for that."""
    return read_mapping(root / "byol-small.yaml")


def make_intrinsics(root: Path) -> None:
    kb4 = LENS.model_copy(update={"model": "kb4", "k": (0.01, 0.0, 0.0, 0.0)})
    (root / "lens.json").write_text(intrinsics_json(kb4, 0.3, 20))


def make_camera_info(root: Path) -> None:
    (root / "camera.yaml").write_text(camera_info_yaml(LENS, "wrist"))


def read_camera_info(root: Path) -> object:
    from vinn_ros.camera.node import read_camera_info

    return read_camera_info(str(root / "camera.yaml"))


def make_aruco(root: Path) -> None:
    content = {"left_id": 1, "right_id": 2, "marker_size_m": 0.02, "open_above_m": 0.1}
    limits = {"almost_open_above_m": 0.07, "almost_closed_above_m": 0.03}
    (root / "gripper.yaml").write_text(yaml.safe_dump({**content, **limits}))


def make_classifier(root: Path) -> None:
    images = [square_image(0.1 * i, 0.5) for i in range(6)]
    train_classifier([(images, [0, 1, 2, 3, 3, 0])], (0.0, 0.0, 1.0, 1.0)).save(root / "g.npz")


def make_mask(root: Path) -> None:
    mask = np.zeros((48, 64), bool)
    mask[30:, 20:40] = True
    write_mask(root / "mask.png", mask)


def make_results(root: Path) -> None:
    results = Results("some", "a command")
    results.add("one", 1.5, "s", ">= 1")
    results.write(root)


def make_weights(root: Path) -> None:
    rng = np.random.default_rng(3)
    state = {
        "conv.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "norm.num_batches_tracked": np.array(7, np.int64),
        "norm.running_var": rng.uniform(1, 2, 4).astype(np.float16),
    }
    (root / "old.pth").write_bytes(legacy_file(state))
    (root / "new.pth").write_bytes(zip_file(state))


def make_video(root: Path) -> None:
    write_video(root / "clip.mp4", grey_levels(8), 4)


def use_video(root: Path) -> object:
    path = root / "clip.mp4"
    probe_video(path)
    return [frame.slot for frame in sample_frames(path, 2.0)]


def use_source(root: Path) -> object:
    source = open_source(str(root / "clip.mp4"), 0, 0, 1.0)
    count = 0
    try:
        while source.read() is not None:
            count += 1
    finally:
        source.close()
    return count


def make_images(root: Path) -> None:
    for i in range(3):
        cv2.imwrite(str(root / f"{i}.png"), square_image(0.2 * i, 0.1))
    (root / "3.jpg").write_bytes(JPEG)


def use_images(root: Path) -> object:
    for path in sorted(root.iterdir()):
        read_image(path)
    source = open_source(str(root), 0, 0, 1.0)
    while source.read() is not None:
        pass
    return None


def make_clip(root: Path) -> None:
    clip = ClipFolder(root / "doors.ingest" / "clip")
    settings = {"frames_per_step": 1, "action_rate_hz": 1.0, "start_s": 0.0, "end_s": None}
    clip.start(
        {
            "video": "clip.mp4",
            "video_sha256": "ab" * 32,
            "profile": {"name": "small", "lens": LENS.model_dump(mode="json")},
            "stored_lens": LENS.model_dump(mode="json"),
            "settings": settings,
        }
    )
    clip.write_frames(
        (SampledFrame(i, float(i), square_image(0.1 * i, 0.5)), None, 9.0) for i in range(4)
    )
    mappings = [
        Mapping(
            mapper=mapper,
            models=1,
            points=50,
            reprojection_error_px=0.4,
            segment=np.zeros(4, np.int64),
            world_centre=np.zeros((4, 3)),
            camera_from_world=np.tile(np.eye(3), (4, 1, 1)),
            observations=np.full(4, 40),
        )
        for mapper in ("incremental", "global")
    ]
    clip.write_evidence(Evidence(Reconstruction(*mappings, np.zeros(3, bool), ()), np.ones(3)))
    steps = tuple(
        Step(i, i, StepReason.KEPT, (0.0, 0.0, 1.0), 1.0, 1.0, 1.0, 99, 1.0) for i in range(3)
    )
    clip.write_assessment(Assessment(steps, None, {"frames": 4.0}))
    clip.write_gripper("manual", dict.fromkeys(range(4), GripperState.OPEN))


def use_clip(root: Path) -> object:
    from vinn.ingest.gripper.source import clip_profile, frames_per_step
    from vinn.ingest.pipeline import write_clip

    clip = ClipFolder(root / "doors.ingest" / "clip")
    assign_clips([root / "missing.mp4"], root / "doors.ingest", root / "doors")
    _ = clip.frames, clip.evidence, clip.gripper_states
    clip_profile(clip)
    frames_per_step(clip)
    for slot in clip.slots:
        clip.frame(slot)
    shutil.rmtree(root / "doors", ignore_errors=True)
    write_clip(clip, root / "doors", "door")
    shutil.rmtree(root / "doors", ignore_errors=True)
    return None
