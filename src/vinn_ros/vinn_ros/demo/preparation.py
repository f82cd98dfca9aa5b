"""What the demo does before and after the nodes run; each function runs in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vinn.demos.files import atomic_directory
from vinn.errors import DatasetError
from vinn.recordings.rollout_summary import RolloutDigest, digest_recording

from vinn_ros.demo.work import Progress

ENCODER = "efficientnet-lite0"
PRESET = "grasp-point"
DETECTOR = ("copies=2", "passes=4", "least_steps=100")
"""Budget of the detector, as `vinn train grasp-point --set` takes it: less than usual, so that the
demo takes minutes."""


@dataclass(frozen=True)
class BuiltPolicy:
    """What was built from how much, and how long the detector of grasp points trained [s]."""

    demonstrations: int
    frames: int
    detector_s: float


def record(
    root: Path, cabinet: str, count: int, difficulty: str, seed: int, on_progress: Progress
) -> int:
    """Record expert demonstrations; returns how many of the expert's attempts failed."""
    from vinn.sim.recording import record_demonstrations

    return record_demonstrations(root, [cabinet], count, difficulty, seed, on_progress)


def merge(parts: Sequence[Path], root: Path) -> None:
    """Make one dataset of several; the parts are gone afterwards.

    Raises:
        DatasetError: `root` exists or cannot be written.
    """
    with atomic_directory(root, DatasetError) as folder:
        for part in parts:
            for demonstration in sorted(part.iterdir()):
                demonstration.rename(folder / demonstration.name)
            part.rmdir()


def export(out_dir: Path, on_progress: Progress) -> None:
    """Export the encoder, unless it is there already."""
    if out_dir.is_dir():
        return
    from vinn.learning.export import export_encoder

    export_encoder(ENCODER, out_dir)


def build(
    demos: Path,
    encoder_dir: Path,
    policy_dir: Path,
    control_dir: Path,
    on_progress: Progress,
) -> BuiltPolicy:
    """Train a detector of grasp points, build the policy with it, and the control."""
    import time

    from vinn.demos.store import Dataset
    from vinn.learning.config import grasp_point_config
    from vinn.learning.grasp.training import train_grasp_point
    from vinn.policies.artefacts.build_preset import build_from_preset
    from vinn.policies.kinds.kind import BuildRequest
    from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
    from vinn.policies.preset import load_preset
    from vinn.robot.config import RobotConfig

    dataset = Dataset.open(demos).with_actions()
    detector_s = 0.0

    def on_stage(_stage: str, done: int, total: int) -> None:
        on_progress(done, total)

    def train(dataset: Dataset, encoder_dir: Path, out_dir: Path) -> Path:
        nonlocal detector_s
        begin_s = time.monotonic()
        config = grasp_point_config(overrides=DETECTOR)
        train_grasp_point(dataset, encoder_dir, out_dir, RobotConfig(), config, on_stage)
        detector_s = time.monotonic() - begin_s
        return out_dir

    build_from_preset(
        dataset,
        encoder_dir,
        policy_dir,
        load_preset(PRESET),
        on_stage=on_stage,
        name=PRESET,
        train_detector=train,
    )
    OPEN_LOOP.build(BuildRequest(dataset, control_dir, name="open loop"))
    return BuiltPolicy(len(dataset), dataset.frame_count, round(detector_s, 1))


def digest(jobs: list[tuple[Path, str, Path, Path]], on_progress: Progress) -> list[RolloutDigest]:
    """Read recordings and make their videos; a job is (recording, policy, artefact, video)."""
    digests = []
    for done, (recording, policy, artefact, video) in enumerate(jobs):
        digests.append(digest_recording(recording, policy, artefact, video))
        on_progress(done + 1, len(jobs))
    return digests
