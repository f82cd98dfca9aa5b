"""`vinn ingest` on a small rendered clip, from the video file to the dataset and back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from videos import grey_levels, write_video
from vinn.cli.main import run
from vinn.demos.store import Dataset, read_demonstration, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta
from vinn.errors import DatasetError
from vinn.ingest.clip import ClipFolder
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.pipeline import write_clip

pytest.importorskip("pycolmap")

LENS = Lens.pinhole(320, 240, 80)
RATE, STEPS, PER_STEP = 3, 4, 3


def texture(rng: np.random.Generator) -> np.ndarray:
    """Noise on several scales: features everywhere."""
    image = np.zeros((1024, 1024, 3), np.float32)
    for size in (16, 64, 256):
        noise = rng.uniform(0, 255, (size, size, 3)).astype(np.float32)
        image += cv2.resize(noise, (1024, 1024), interpolation=cv2.INTER_CUBIC) / 3
    return np.clip(image, 0, 255).astype(np.uint8)


def seen(centre: np.ndarray, turn: np.ndarray, walls: list[tuple[float, float, np.ndarray]]):
    """Walls (distance, right edge, texture) by ray casting; near ones come last."""
    pixels = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1).astype(float)
    rays = LENS.unproject(pixels) @ turn.T
    image = np.zeros((240, 320, 3), np.uint8)
    for distance, right_edge, picture in walls:
        hit = centre + rays * ((distance - centre[2]) / rays[..., 2])[..., None]
        place = ((hit[..., :2] + 2.0) * 256).astype(np.float32)
        drawn = cv2.remap(picture, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        visible = hit[..., 0] < right_edge
        image[visible] = drawn[visible]
    return image


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory):
    rng = np.random.default_rng(3)
    walls = [(1.6, 9.0, texture(rng)), (1.0, 0.1, texture(rng)), (0.75, -0.25, texture(rng))]
    moves = np.array([[0.08, 0.02, 0.05], [0.05, -0.05, 0.06], [-0.03, 0.07, 0.05],
                      [-0.08, 0.0, -0.03]])  # fmt: skip
    centres = np.vstack([np.zeros(3), np.cumsum(np.repeat(moves / PER_STEP, PER_STEP, 0), 0)])
    turns = [cv2.Rodrigues(np.array([0.01 * np.sin(i), 0.015 * i, 0.0]))[0] for i in range(13)]
    images = [seen(c, r, walls) for c, r in zip(centres, turns, strict=True)]
    truth = np.stack([turns[i * PER_STEP].T @ moves[i] for i in range(STEPS)])
    folder = tmp_path_factory.mktemp("film")
    write_video(folder / "walls.mp4", images, RATE)
    (folder / "camera.yaml").write_text(
        "name: walls\n"
        "lens: {model: pinhole, width_px: 320, height_px: 240,\n"
        f"       fx_px: {LENS.fx_px}, fy_px: {LENS.fy_px}, cx_px: 159.5, cy_px: 119.5}}\n"
        "output: {projection: raw, width_px: 320, height_px: 240}\n"
        "stored: {width_px: 96, height_px: 72, horizontal_fov_deg: 60}\n"
    )
    return folder, truth / np.linalg.norm(truth, axis=1, keepdims=True)


def arguments(folder: Path, out: Path) -> list[str]:
    return ["ingest", str(folder / "walls.mp4"), "--camera", str(folder / "camera.yaml"),
            "--out", str(out), "--mask", "none", "--jobs", "1"]  # fmt: skip


@dataclass(frozen=True)
class Ingested:
    """The film after a run that was killed once its frames were there, and a second run."""

    root: Path
    killed: int
    left_by_the_killed: list[str]
    frames_kept: bool

    def copied(self, to: Path) -> list[str]:
        """A copy of dataset and work folder, and the command that made them, for it."""
        for name in ("data", "data.ingest"):
            shutil.copytree(self.root / name, to / name)
        return arguments(self.root.parent, to / "data")


@pytest.fixture(scope="module")
def ingested(film) -> Ingested:
    folder, _ = film
    root = folder / "out"
    clip = root / "data.ingest" / "walls"
    program = "from vinn.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments(folder, root / "data")],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not (clip / "frames.json").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    left = sorted(path.name for path in root.rglob("*") if path.name in ("data", "evidence.npz"))
    before = (clip / "frames.json").stat().st_mtime_ns
    assert run(arguments(folder, root / "data")) == 0
    kept = (clip / "frames.json").stat().st_mtime_ns == before
    return Ingested(root, process.returncode, left, kept)


def test_a_killed_run_leaves_no_dataset_and_goes_on_where_it_was(ingested: Ingested) -> None:
    assert ingested.killed == -signal.SIGKILL
    assert ingested.left_by_the_killed == []
    assert ingested.frames_kept


def test_from_video_to_dataset(film, ingested: Ingested) -> None:
    _, truth = film
    (demonstration,) = Dataset.open(ingested.root / "data").demonstrations
    assert demonstration.meta.provenance["steps"] == [0, 1, 2, 3]
    cosine = (demonstration.camera_delta * truth).sum(axis=1)
    assert cosine.min() >= 0.97
    assert demonstration.meta.camera.width_px == 96
    page = (ingested.root / "data.ingest" / "walls" / "report.html").read_text()
    assert "Steps kept" in page and "from above" in page


def test_labels_then_the_same_command(ingested: Ingested, tmp_path: Path) -> None:
    command = ingested.copied(tmp_path)
    clip = tmp_path / "data.ingest" / "walls"
    before = (clip / "evidence.npz").stat().st_mtime_ns
    states = {"0": 0, "3": 0, "6": 1, "9": 3, "12": 3}
    (clip / "gripper.json").write_text(json.dumps({"source": "manual", "states": states}))
    assert run(command) == 0
    # Nothing is reconstructed anew.
    assert (clip / "evidence.npz").stat().st_mtime_ns == before
    (demonstration,) = Dataset.open(tmp_path / "data").demonstrations
    assert demonstration.gripper.tolist() == [0, 1, 3, 3]


def test_another_film_of_the_name_and_this_one_by_another(
    film, ingested: Ingested, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ingested.copied(tmp_path)
    before = {
        path: path.read_bytes()
        for name in ("data", "data.ingest")
        for path in (tmp_path / name / "walls").rglob("*")
        if path.is_file()
    }
    folder, _ = film
    (tmp_path / "day2").mkdir()
    grey = [cv2.resize(image, (320, 240)) for image in grey_levels(13)]
    other = write_video(tmp_path / "day2" / "walls.mp4", grey, RATE)
    assert run([command[0], str(other), *command[2:]]) == 2  # grey: nothing to reconstruct
    assert "another film is called 'walls'" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    renamed = shutil.copy(folder / "walls.mp4", tmp_path / "day2" / "GX010001.MP4")
    assert run([command[0], str(renamed), *command[2:]]) == 0
    assert "is the film of clip 'walls'" in capfd.readouterr().err
    evidence = tmp_path / "data.ingest" / "walls" / "evidence.npz"
    assert evidence.read_bytes() == before[evidence]
    assert [d.meta.name for d in Dataset.open(tmp_path / "data").demonstrations] == ["walls"]


def test_a_clip_that_is_rejected_now_leaves_the_dataset(ingested: Ingested, tmp_path: Path) -> None:
    ingested.copied(tmp_path)
    clip = ClipFolder(tmp_path / "data.ingest" / "walls")
    assessment = clip.assessment
    assert assessment is not None and (tmp_path / "data" / "walls").exists()
    clip.write_assessment(replace(assessment, failure="made up"))
    assert write_clip(clip, tmp_path / "data", "door") is None
    assert not (tmp_path / "data" / "walls").exists()


def test_a_demonstration_of_somebody_else_is_not_replaced(
    ingested: Ingested, tmp_path: Path
) -> None:
    ingested.copied(tmp_path)
    shutil.rmtree(tmp_path / "data")
    meta = DemonstrationMeta(
        name="walls", task="door", camera=CameraInfo(name="own", width_px=96, height_px=72)
    )
    picture = np.zeros((72, 96, 3), np.uint8)
    own = write_demonstration(
        tmp_path / "data", meta, [picture], np.zeros((1, 3)), np.zeros(1, int)
    )
    with pytest.raises(DatasetError, match="not from 'vinn ingest'"):
        write_clip(ClipFolder(tmp_path / "data.ingest" / "walls"), tmp_path / "data", "door")
    assert read_demonstration(own).meta == meta


def test_a_grey_clip_is_rejected_and_leaves_no_dataset(film, tmp_path: Path, capfd) -> None:
    folder, _ = film
    grey = [cv2.resize(image, (320, 240)) for image in grey_levels(13)]
    write_video(tmp_path / "grey.mp4", grey, RATE)
    code = run(["ingest", str(tmp_path / "grey.mp4"), "--camera", str(folder / "camera.yaml"),
                "--out", str(tmp_path / "data"), "--mask", "none", "--jobs", "1"])  # fmt: skip
    assert code == 2
    assert "no clip of 1 passed" in capfd.readouterr().err
    assert not (tmp_path / "data").exists()
    assert "reconstruction" in (tmp_path / "data.ingest/grey/report.html").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": b""}, "empty"),
        ({"video": b"not a video" * 100}, "not a video"),
        ({"--rate": "0"}, "action rate"),
        ({"--camera": "nobody"}, "no such file or name"),
        ({"--mask": "profile"}, "no gripper_mask"),
        ({"--max-clip": "2"}, "long"),
        ({"--gripper": "model.onnx"}, "expected a classifier"),
    ],
)
def test_bad_input_is_one_line(film, tmp_path: Path, capfd, change: dict, message: str) -> None:
    folder, _ = film
    video = folder / "walls.mp4"
    if "video" in change:
        video = tmp_path / "bad.mp4"
        video.write_bytes(change.pop("video"))
    options = {"--camera": str(folder / "camera.yaml"), "--mask": "none", **change}
    given = [part for item in options.items() for part in item]
    assert run(["ingest", str(video), "--out", str(tmp_path / "data"), *given]) == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("vinn: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "data").exists()
