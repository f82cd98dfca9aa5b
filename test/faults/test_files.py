"""Rows 19-21: damaged, mixed and hostile files are refused by name, and nothing in them runs."""

from __future__ import annotations

import json
import pickle
import shutil
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from fault_measure import Measure
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.demos.files import sha256_file
from vinn.demos.store import Dataset, read_frame
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactMismatchError, VinnError
from vinn.ingest.formats.record3d import read_record3d
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.build import build_policy
from vinn.robot.config import load_robot_config
from vinn.rollout.config import load_rollout_config
from vinn.rollout.messages import image_fields
from vinn.rollout.reader import read_recording
from vinn.rollout.recorder import RolloutRecorder

DAMAGES = 24
"""Random truncations and bit flips of each file."""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demos/, encoder/, policy/, run.mcap and robot.yaml, all sound."""
    root = tmp_path_factory.mktemp("parts")
    dataset = write_square_demos(root / "demos", 3)
    write_tiny_encoder(root / "encoder")
    build_policy(dataset, root / "encoder", root / "policy", k=3)
    with RolloutRecorder(root / "run.mcap", {"session": "s"}, min_free_bytes=0) as recorder:
        for index in range(10):
            jpeg = cv2.imencode(".jpg", square_image(0.1 * index, 0.5))[1].tobytes()
            recorder.write_message(
                "/wrist_camera/image_raw/compressed",
                "sensor_msgs/msg/CompressedImage",
                image_fields(jpeg, index, "camera"),
                index,
            )
        recorder.close({"reason": "SUCCESS"})
    (root / "robot.yaml").write_text("motion: {step_cap_m: 0.04}\nexecutor: {poll_s: 0.02}\n")
    (root / "rollout.yaml").write_text("max_steps: 12\ntolerated: {STALLED: 2}\n")
    return root


def read_dataset(root: Path) -> None:
    for demonstration in Dataset.open(root / "demos").demonstrations:
        for path in demonstration.frame_paths:
            read_frame(path)


def use_policy(root: Path) -> None:
    artefact = open_artefact(root / "policy")
    load_policy(root / "policy").predict(square_image(0.5, 0.5))
    artefact.thumbnail(0)


READERS: dict[str, Callable[[Path], object]] = {
    "demos": read_dataset,
    "encoder": lambda root: load_encoder(root / "encoder").embed([square_image(0.5, 0.5)]),
    "policy": use_policy,
    "run.mcap": lambda root: list(read_recording(root / "run.mcap")),
    "robot.yaml": lambda root: load_robot_config(root / "robot.yaml"),
    "rollout.yaml": lambda root: load_rollout_config(root / "rollout.yaml"),
}


def damage(content: bytes, how: str, rng: np.random.Generator) -> bytes:
    if how == "empty":
        return b""
    if how == "truncated":
        return content[: int(rng.integers(0, max(len(content), 1)))]
    flipped = bytearray(content)
    for position in rng.integers(0, len(content), int(rng.integers(1, 4))):
        flipped[position] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def files_of(root: Path, name: str) -> list[Path]:
    path = root / name
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", READERS)
def test_row_19_damaged_files(parts: Path, tmp_path: Path, name: str) -> None:
    read, rng = READERS[name], np.random.default_rng([19, *name.encode()])
    READERS[name](parts)  # warm: what is measured is the damage, not an import
    root = tmp_path / "parts"
    shutil.copytree(parts, root)
    slowest_s, refused, tried, largest_bytes = 0.0, 0, 0, 0
    tracemalloc.start()
    for path in files_of(root, name)[:8]:
        sound = path.read_bytes()
        hows = ["empty"] + ["truncated"] * (DAMAGES // 12) + ["flipped"] * (DAMAGES // 12)
        for how in hows:
            path.write_bytes(damage(sound, how, rng))
            tracemalloc.reset_peak()
            before_bytes, _ = tracemalloc.get_traced_memory()
            began_s = time.perf_counter()
            try:
                read(root)  # some flips are within what a format allows: then it is read
            except VinnError as error:
                refused += 1
                message = str(error)
                assert "\n" not in message
                assert str(root) in message, f"{path.name} {how}: {message}"
            slowest_s = max(slowest_s, time.perf_counter() - began_s)
            largest_bytes = max(largest_bytes, tracemalloc.get_traced_memory()[1] - before_bytes)
            tried += 1
        path.write_bytes(sound)
    tracemalloc.stop()
    read(root)
    measure = Measure(19)
    measure.time(f"{name}: slowest of {tried} damaged files", slowest_s, "file_error_s")
    measure.value(f"{name}: most memory", largest_bytes / 2**20, "MiB", "<= 50")
    # An empty YAML leaves every default, and some flips are within what a format allows.
    assert 2 * refused > tried


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("policy/manifest.json", ["policy", "info", "{root}/policy"]),
        ("demos/square_0/meta.json", ["demos", "info", "{root}/demos"]),
        ("run.mcap", ["replay", "{root}/run.mcap", "--policy", "{root}/policy"]),
    ],
)
def test_row_19_the_command_line_says_it_in_one_line(
    parts: Path, tmp_path: Path, name: str, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "parts"
    shutil.copytree(parts, root)
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[: len(content) // 3] if name != "run.mcap" else b"\x00" * 99)
    began_s = time.perf_counter()
    code = run([argument.format(root=root) for argument in arguments])
    elapsed_s = time.perf_counter() - began_s
    error = capfd.readouterr().err.strip()
    assert code == 2, error
    assert "Traceback" not in error
    *progress, last = error.splitlines()
    assert last.startswith("vinn: error: ")
    assert not any("error" in line for line in progress)
    assert Path(name).name in last
    Measure(19).time(f"vinn {arguments[0]}: answer to a damaged file", elapsed_s, "file_error_s")


def test_row_20_parts_that_do_not_belong_together(parts: Path, tmp_path: Path) -> None:
    root = tmp_path / "parts"
    shutil.copytree(parts, root)
    policy, measure, refused = root / "policy", Measure(20), 0

    def refuse(*named: str) -> None:
        nonlocal refused
        with pytest.raises(VinnError) as error:
            load_policy(policy)
        assert all(value in str(error.value) for value in named), str(error.value)
        refused += 1

    def replace_embeddings(embeddings: np.ndarray) -> None:
        """With a manifest that knows their hash: somebody mixed whole artefacts."""
        before = sha256_file(policy / "embeddings.npy")
        np.save(policy / "embeddings.npy", embeddings)
        text = (policy / "manifest.json").read_text()
        after = sha256_file(policy / "embeddings.npy")
        (policy / "manifest.json").write_text(text.replace(before, after))

    embeddings = np.load(policy / "embeddings.npy")
    count, dimension = embeddings.shape
    replace_embeddings(embeddings[:, :-1])
    refuse(str(dimension - 1), str(dimension))
    replace_embeddings(embeddings[:-1])
    refuse(str(count - 1), str(count))
    replace_embeddings(embeddings)

    manifest = (policy / "manifest.json").read_text()
    edited = json.loads(manifest)
    edited["vinn"]["k"] = count + 1
    (policy / "manifest.json").write_text(json.dumps(edited))
    refuse(str(count + 1), str(count))
    (policy / "manifest.json").write_text(manifest)

    other = write_tiny_encoder(tmp_path / "other", gain=2.0)
    inside = next(path for path in policy.iterdir() if (path / "manifest.json").exists())
    own_hash, other_hash = load_encoder(inside).hash, load_encoder(other).hash
    shutil.rmtree(inside)
    shutil.copytree(other, inside)
    with pytest.raises(ArtefactMismatchError) as error:
        load_policy(policy)
    assert own_hash[:12] in str(error.value)
    assert other_hash[:12] in str(error.value)
    measure.value("mixed artefacts refused with both values", refused + 1, "of 4", "== 4")


class _Bomb:
    """Unpickled, it creates a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self._path,))


def test_row_21_nothing_in_a_file_runs(parts: Path, tmp_path: Path) -> None:
    root, fired = tmp_path / "parts", tmp_path / "fired"
    shutil.copytree(parts, root)
    bomb, tried = pickle.dumps(_Bomb(fired)), 0
    pickle.loads(bomb)
    assert fired.exists(), "the bomb must work, or this test shows nothing"
    fired.unlink()
    objects = np.array([_Bomb(fired)], dtype=object)
    for name in ("demos", "encoder", "policy"):
        for path in files_of(root, name)[:12]:
            sound = path.read_bytes()
            for hostile in ("pickle", "npy"):
                if hostile == "pickle":
                    path.write_bytes(bomb)
                else:
                    with path.open("wb") as file:
                        np.save(file, objects, allow_pickle=True)
                with pytest.raises(VinnError):
                    READERS[name](root)
                tried += 1
            path.write_bytes(sound)
    Measure(21).value(f"side effects of {tried} hostile files", int(fired.exists()), "", "== 0")


def test_row_21_hostile_weights(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch writes them")
    from vinn.learning.export import export_encoder

    fired, weights = tmp_path / "fired", tmp_path / "weights.pth"
    torch.save({"state": _Bomb(fired)}, weights)
    with pytest.raises(VinnError) as error:
        export_encoder("resnet18", tmp_path / "encoder", weights=weights)
    assert str(weights) in str(error.value)
    Measure(21).value("side effects of hostile weights", int(fired.exists()), "", "== 0")


def test_row_21_archives_cannot_escape(tmp_path: Path) -> None:
    archive = tmp_path / "clip.r3d"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("metadata", json.dumps({"w": 8, "h": 8, "K": [1] * 9, "fps": 30}))
        file.writestr("../../escaped.txt", "out")
        file.writestr("rgbd/0.jpg", b"not a picture")
    with pytest.raises(VinnError):
        list(read_record3d(archive, "task", 5.0))
    found = [path.name for path in tmp_path.parent.rglob("escaped.txt")]
    Measure(21).value("files that escaped an archive", len(found), "", "== 0")
