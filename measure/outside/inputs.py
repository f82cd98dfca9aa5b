"""What outside programs are given to read: written by this project, on generated data.

    python measure/outside/inputs.py FOLDER

Makes FOLDER/demos (a dataset), rosbag2 and lerobot (its exports), recording.mcap (of a rollout),
video.mp4, encoder (an artefact), and truth.json: what each of them must be found to hold.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from vinn.demos.store import Dataset, read_frame
from vinn.ingest.formats.lerobot_export import export_lerobot
from vinn.ingest.formats.rosbag import export_rosbag
from vinn.policies.build import build_policy
from vinn.recordings.rerun_recording import write_rerun
from vinn.recordings.tracks import load_tracks
from vinn.viz.timeline import load_timeline
from vinn.viz.video import write_video

sys.path.insert(0, str(Path(__file__).parents[2] / "test"))

import shared_folders  # noqa: F401
from recorded_rollout import WRIST, record_rollout
from tiny_encoder import tiny_embedding, write_square_demos, write_tiny_encoder


def write(folder: Path) -> dict[str, Any]:
    """Write everything; returns the truth."""
    demos = write_square_demos(folder / "demos")
    export_rosbag(demos, folder / "rosbag2")
    export_lerobot(demos, folder / "lerobot")
    encoder = write_tiny_encoder(folder / "encoder")
    policy = build_policy(demos, encoder, folder / "policy", k=3, bandwidth=0.5)
    recording = record_rollout(folder / "recording.mcap", policy)
    timeline = load_timeline(recording)
    frames = [read_frame(path) for path in demos.demonstrations[0].frame_paths]
    write_video(folder / "video.mp4", (np.kron(f, np.ones((4, 4, 1), np.uint8)) for f in frames), 5)
    write_rerun(timeline, load_tracks(recording), None, folder / "rollout.rrd")
    return {
        "demonstrations": len(demos),
        "frames": demos.frame_count,
        "actions": _actions(demos),
        "wrist_topic": WRIST,
        "images": len(timeline.wrist),
        "predictions": [
            [float(v) for v in said.prediction.camera_delta] for said in timeline.predictions
        ],
        "video": {"frames": len(frames), "means": [f.mean(axis=(0, 1)).tolist() for f in frames]},
        "embedding": tiny_embedding(frames[0]).tolist(),
    }


def _actions(demos: Dataset) -> dict[str, list[list[float]]]:
    """(dx, dy, dz, gripper) of every frame, by demonstration."""
    return {
        found.meta.name: [
            [*map(float, delta), float(gripper)]
            for delta, gripper in zip(found.camera_delta, found.gripper, strict=True)
        ]
        for found in demos.demonstrations
    }


def main() -> None:
    """Make the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    truth = write(folder)
    (folder / "truth.json").write_text(json.dumps(truth), encoding="utf-8")


if __name__ == "__main__":
    main()
