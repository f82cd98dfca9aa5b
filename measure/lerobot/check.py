"""Runs in an environment of its own, with the lerobot package: its loader and writer meet ours.

    python -m measure.lerobot.check read DATASET      # every item, as JSON lines on stdout
    python -m measure.lerobot.check write NEW         # a small dataset as lerobot writes it
    python -m measure.lerobot.check images NEW        # the same, its pictures in the tables
    python -m measure.lerobot.check append DATASET    # one more episode, recorded by lerobot

`python -m measure.lerobot` calls it; the project itself does not depend on lerobot.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np

REPOSITORY = "local/vinn"
CAMERA = "observation.images.front"
SIZE = (64, 96, 3)


def read(root: str) -> None:
    """Load with the package; print what it says of every frame."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset(REPOSITORY, root=root, video_backend="pyav")
    head = {"lerobot": version("lerobot"), "episodes": dataset.num_episodes, "fps": dataset.fps}
    print(json.dumps(head))
    (camera,) = dataset.meta.camera_keys
    for index in range(len(dataset)):
        item = dataset[index]
        image = np.asarray(item[camera]).transpose(1, 2, 0)
        row = {
            "episode": int(item["episode_index"]),
            "task": item["task"],
            "action": np.asarray(item["action"]).tolist(),
            # Coarse, but any mix-up of frames or channels shows in it.
            "blocks": blocks(image * 255).round(3).tolist(),
        }
        print(json.dumps(row))


def blocks(image: np.ndarray) -> np.ndarray:
    """(4, 4, 3) means of an image's sixteenths."""
    height, width = (side // 4 * 4 for side in image.shape[:2])
    cut = image[:height, :width].reshape(4, height // 4, 4, width // 4, 3)
    return np.asarray(cut.mean(axis=(1, 3)))


def write(root: str, pictures: str = "video") -> None:
    """Two episodes of different tasks, written by the package; prints their actions."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    features = {
        "action": {"dtype": "float32", "shape": (4,), "names": ["x", "y", "z", "gripper"]},
        CAMERA: {"dtype": pictures, "shape": SIZE, "names": ["height", "width", "channels"]},
    }
    dataset = LeRobotDataset.create(
        REPOSITORY, fps=5, features=features, root=root, use_videos=pictures == "video"
    )
    for episode, length in enumerate((7, 4)):
        _record(dataset, CAMERA, SIZE, episode, length)
    dataset.finalize()


def images(root: str) -> None:
    """As `write`, without a video."""
    write(root, "image")


def append(root: str) -> None:
    """One more episode of a task of its own, as lerobot's recorder adds it; prints its actions."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    # Before 0.6 an opened dataset took more episodes.
    opened = getattr(LeRobotDataset, "resume", LeRobotDataset)(REPOSITORY, root=root)
    (camera,) = opened.meta.camera_keys
    shape = tuple(opened.meta.features[camera]["shape"])
    _record(opened, camera, shape, opened.meta.total_episodes, 5)
    opened.finalize()


def _record(dataset: Any, camera: str, shape: tuple[int, ...], episode: int, length: int) -> None:
    rng = np.random.default_rng(episode)
    for index in range(length):
        action = np.append(rng.normal(0, 0.02, 3), index * 3 // length).astype(np.float32)
        image = np.full(shape, 20 * index + 10, np.uint8)
        dataset.add_frame({"action": action, camera: image, "task": f"task {episode}"})
        print(json.dumps({"episode": episode, "action": action.tolist()}))
    dataset.save_episode()


if __name__ == "__main__":
    {"read": read, "write": write, "images": images, "append": append}[sys.argv[1]](sys.argv[2])
