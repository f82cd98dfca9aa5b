"""Weights in half precision: half the disk, nearly the same embeddings, another identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vinn.demos.frames import encode_jpeg
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_encoder
from vinn.encoders.half_precision import halve_encoder
from vinn.encoders.local import LocalFeatures, localise_encoder
from vinn.errors import ArtefactError, ConfigError


@pytest.fixture(scope="module")
def halved(lite0_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return halve_encoder(lite0_encoder, tmp_path_factory.mktemp("halved") / "encoder")


def test_half_the_disk(lite0_encoder: Path, halved: Path) -> None:
    full, half = ((folder / "model.bin").stat().st_size for folder in (lite0_encoder, halved))
    assert 0.49 * full < half < 0.51 * full


def test_embeddings_move_by_rounding_alone(lite0_encoder: Path, halved: Path) -> None:
    full, half = load_encoder(lite0_encoder), load_encoder(halved)
    rows = np.linspace(0, 255, 224, dtype=np.uint8)
    smooth = np.stack([np.tile(rows, (224, 1)), np.tile(rows[:, None], (1, 224))] * 2, axis=2)
    wanted, found = (encoder.encode(smooth[:, :, :3]) for encoder in (full, half))
    off = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 0 < off < 0.02


def test_it_is_another_encoder_that_says_what_it_came_from(
    lite0_encoder: Path, halved: Path
) -> None:
    full, half = read_manifest(lite0_encoder), read_manifest(halved)
    assert half.hash != full.hash
    assert half.provenance["halved_from"] == {"name": full.name, "hash": full.hash}
    assert half.provenance["weights"] == full.provenance["weights"]


def test_what_is_made_of_encoders_is_made_of_it(halved: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = []
    for number in range(6):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(encode_jpeg(rng.integers(0, 256, (224, 224, 3), np.uint8)))
        frames.append(path)
    settings = LocalFeatures(stride=16, grid=7, channels=4)
    localised = localise_encoder(halved, frames, tmp_path / "local", settings)
    assert read_manifest(localised).dimension == 7 * 7 * 4


def test_refusals(lite0_encoder: Path, halved: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in half precision already"):
        halve_encoder(halved, tmp_path / "again")
    with pytest.raises(ArtefactError, match="exists"):
        halve_encoder(lite0_encoder, tmp_path)
    with pytest.raises(ArtefactError, match="missing"):
        halve_encoder(tmp_path / "missing", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == []
