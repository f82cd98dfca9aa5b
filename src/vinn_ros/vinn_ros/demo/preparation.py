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


@dataclass(frozen=True)
class BuiltPolicy:
    """What was built from how much, and the settings that were chosen."""

    demonstrations: int
    frames: int
    k: int
    bandwidth: float


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
    """Build the policy (k and bandwidth by leave one demonstration out) and the control."""
    from vinn.demos.store import Dataset
    from vinn.encoders.encoder import load_for_datasets
    from vinn.policies.artefacts.build import build_control, build_policy, embed_dataset
    from vinn.policies.artefacts.opening import PolicyKind
    from vinn.policies.artefacts.selection import select_k_and_bandwidth
    from vinn.policies.memory import ActionMemory

    dataset = Dataset.open(demos).with_actions()
    embedded = embed_dataset(dataset, load_for_datasets(encoder_dir), on_progress)
    memory = ActionMemory.of(dataset)
    chosen = select_k_and_bandwidth(
        embedded.embeddings, memory.camera_delta, memory.demonstration_ids, gripper=memory.gripper
    )
    build_policy(
        dataset,
        encoder_dir,
        policy_dir,
        chosen.k,
        chosen.bandwidth,
        embedded=embedded,
        name="vinn",
        provenance={"selection": "leave one demonstration out"},
    )
    build_control(dataset, PolicyKind.OPEN_LOOP, control_dir, name="open loop")
    return BuiltPolicy(len(dataset), dataset.frame_count, chosen.k, chosen.bandwidth)


def digest(jobs: list[tuple[Path, str, Path, Path]], on_progress: Progress) -> list[RolloutDigest]:
    """Read recordings and make their videos; a job is (recording, policy, artefact, video)."""
    digests = []
    for done, (recording, policy, artefact, video) in enumerate(jobs):
        digests.append(digest_recording(recording, policy, artefact, video))
        on_progress(done + 1, len(jobs))
    return digests
