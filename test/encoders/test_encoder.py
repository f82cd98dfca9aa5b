"""The encoder artefact and its run time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import DIMENSION, tiny_embedding, write_tiny_encoder
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_tiny_encoder(tmp_path / "encoder")


def random_images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8) for i in range(count)]


def test_embedding_is_network_after_preprocessing(directory: Path) -> None:
    """Holds the normalisation compiled into the network against numpy: channels, mean, layout."""
    encoder = load_encoder(directory)
    images = random_images(4)
    embeddings = encoder.embed(images)
    assert embeddings.shape == (4, DIMENSION)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, [tiny_embedding(i) for i in images], atol=1e-5)


def test_embedding_does_not_depend_on_company(directory: Path) -> None:
    encoder = load_encoder(directory)
    images = random_images(5)
    alone = np.stack([encoder.embed([image])[0] for image in images])
    np.testing.assert_array_equal(encoder.embed(images), alone)
    np.testing.assert_array_equal(encoder.embed(images[::-1]), alone[::-1])
    assert encoder.embed([]).shape == (0, DIMENSION)


@pytest.mark.parametrize("streams", [1, 3])
def test_images_in_work_together_keep_their_order_and_their_embedding(
    directory: Path, streams: int
) -> None:
    images = random_images(11)
    single = load_encoder(directory)
    expected = np.stack([single.encode(single.preprocessing.resize(image)) for image in images])
    progress: list[tuple[int, int]] = []
    found = load_encoder(directory, streams=streams).embed(
        images, lambda done, total: progress.append((done, total))
    )
    np.testing.assert_array_equal(found, expected)
    assert progress == [(number, 11) for number in range(1, 12)]


def test_embedding_is_not_overwritten_by_the_next(directory: Path) -> None:
    encoder = load_encoder(directory)
    first, second = (encoder.preprocessing.resize(image) for image in random_images(2))
    kept = encoder.encode(first)
    copy = kept.copy()
    encoder.encode(second)
    np.testing.assert_array_equal(kept, copy)


def test_hash_is_the_identity(tmp_path: Path) -> None:
    one = write_tiny_encoder(tmp_path / "one")
    same = write_tiny_encoder(tmp_path / "same")
    gain = write_tiny_encoder(tmp_path / "gain", gain=2.0)
    mean = write_tiny_encoder(tmp_path / "mean", mean=90.0)
    hashes = [load_encoder(directory).hash for directory in (one, same, gain, mean)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("victim", ["model.xml", "model.bin", "manifest.json"])
def test_truncated_or_missing_files_are_refused(directory: Path, victim: str) -> None:
    path = directory / victim
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    with pytest.raises(ArtefactError, match=victim) as caught:
        load_encoder(directory)
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(ArtefactError, match=victim):
        load_encoder(directory)


def test_edited_manifest_is_refused_naming_both_hashes(directory: Path) -> None:
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["preprocessing"]["mean"][0] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtefactMismatchError, match=manifest["hash"][:12]):
        read_manifest(directory)


def test_files_of_another_encoder_are_refused(tmp_path: Path, directory: Path) -> None:
    other = write_tiny_encoder(tmp_path / "other", gain=3.0)
    (directory / "model.bin").write_bytes((other / "model.bin").read_bytes())
    with pytest.raises(ArtefactMismatchError, match=r"model\.bin"):
        load_encoder(directory)


def test_bad_options_are_refused(directory: Path) -> None:
    with pytest.raises(ConfigError, match="streams: 0"):
        load_encoder(directory, streams=0)
    with pytest.raises(ConfigError, match="threads: 0"):
        load_encoder(directory, threads=0)
    with pytest.raises(ConfigError, match="int8"):
        load_encoder(directory, precision="int8")  # type: ignore[arg-type]


def test_existing_folder_is_not_overwritten(directory: Path) -> None:
    with pytest.raises(ArtefactError, match="exists already"):
        write_tiny_encoder(directory)
    assert load_encoder(directory).dimension == DIMENSION


def test_running_an_encoder_needs_no_torch_and_leaves_the_home_alone(
    directory: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import sys; from vinn.encoders.encoder import load_encoder; import numpy as np\n"
        f"load_encoder({str(directory)!r}).embed([np.zeros((9, 9, 3), np.uint8)])\n"
        "print([m for m in ('torch', 'mujoco', 'openvino_telemetry.main') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("[]")
    assert list(home.iterdir()) == []
