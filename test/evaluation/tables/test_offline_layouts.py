"""Table III's row by one command from generated copies of both layouts of VINN's own data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from vinn.cli.main import run
from vinn.demos.frames import encode_jpeg
from vinn.demos.store import Dataset
from vinn.learning.raw_pixels import export_raw_pixels

LENGTH = 5
WIDTH_PX, HEIGHT_PX = 64, 36
CROP = "13,0,53,23"
"""As the paper's code crops the frames of door opening, a thirtieth of its size."""


@pytest.fixture(scope="module")
def raw_pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_raw_pixels(tmp_path_factory.mktemp("raw") / "raw-pixels")


def directions(seed: int) -> np.ndarray:
    """(LENGTH, 3) unit vectors that the frames show as a bright spot's place."""
    rng = np.random.default_rng(seed)
    vectors = np.column_stack([rng.uniform(-1, 1, (LENGTH, 2)), np.full(LENGTH, 0.5)])
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def frame(direction: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.integers(20, 40, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    # Inside what `CROP` keeps.
    centre = (round(33 + 17 * direction[0]), round(11 + 9 * direction[1]))
    return np.asarray(cv2.circle(image, centre, 4, (230, 230, 230), -1))


def write_split(root: Path, layout: str, runs: int, seed: int) -> None:
    folder = "images_linear" if layout == "vinn-original" else "images"
    for run_number in range(runs):
        run_seed = 100 * seed + run_number
        moves = directions(run_seed)
        images = root / f"run_{run_number}" / folder
        images.mkdir(parents=True)
        position, labels = np.zeros(3), {}
        for index in range(LENGTH + 1):
            name = f"{index:04d}.jpg"
            move = moves[min(index, LENGTH - 1)]
            (images / name).write_bytes(encode_jpeg(frame(move, 10 * run_seed + index), 95))
            grip = 3 if index < 3 else 0
            if layout == "vinn-original":
                labels[name] = [*(0.04 * move), 0, 0, 0, grip]
            else:
                labels[name] = {"xyz": position.tolist(), "rpy": [0, 0, 0], "gripper": grip / 3}
            position = position + 0.04 * move
        (images.parent / "labels.json").write_text(json.dumps(labels))


@pytest.mark.parametrize("layout", ["vinn-original", "door-opening-data"])
def test_the_original_data_get_their_row_by_one_command(
    layout: str, raw_pixels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(tmp_path / "data" / "train_all", layout, 20, 0)
    write_split(tmp_path / "data" / "val_all", layout, 3, 1)
    shutil.copytree(raw_pixels, tmp_path / "work" / "encoders" / "raw-pixels")
    command = [
        *("eval", "offline", "--format", layout, "--gripper-order", "open-high", "--crop", CROP),
        *("--train", str(tmp_path / "data" / "train_all")),
        *("--test", str(tmp_path / "data" / "val_all")),
        *("--methods", "random,open-loop,raw-pixels", "--name", "door-opening"),
        *("--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")),
    ]
    assert run(command) == 0
    errors = json.loads((tmp_path / "out" / "table3-details.json").read_text())["table"]
    row = {name: values[0] for name, values in errors["door-opening"].items()}
    # What a frame shows is retrieved.
    assert row["raw-pixels"] < 0.7 * row["open-loop"] < row["random"]
    held_out = Dataset.open(tmp_path / "work" / "imported" / "test")
    assert (len(held_out), held_out.demonstrations[0].meta.camera.width_px) == (3, 40)
    assert held_out.demonstrations[0].gripper[0] == 0
    assert held_out.demonstrations[0].gripper[-1] == 3
    # Taken up again it imports nothing; told otherwise it refuses.
    assert run(command) == 0
    capsys.readouterr()
    assert run([word if word != CROP else "0,0,60,30" for word in command]) == 2
    assert "use another --work" in capsys.readouterr().err
    assert run([word if word != CROP else "9,0,3,30" for word in command]) == 2
