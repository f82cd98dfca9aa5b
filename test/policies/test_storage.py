"""Half precision storage: half the file, the same neighbours, refused where they would change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.errors import ArtefactMismatchError, ConfigError
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.edit import extend_policy
from vinn.policies.artefacts.half_precision import checked_half, stored_as
from vinn.policies.build import build_policy


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demos/, encoder/ and the policy in full/ and in half/ precision."""
    root = tmp_path_factory.mktemp("parts")
    dataset = write_square_demos(root / "demos", 6)
    write_tiny_encoder(root / "encoder")
    for name in ("full", "half"):
        build_policy(dataset, root / "encoder", root / name, 5, 0.5, half=name == "half")
    return root


def test_half_the_memory_and_the_same_answers(parts: Path) -> None:
    full, half = open_artefact(parts / "full"), open_artefact(parts / "half")
    assert half.embeddings.dtype == np.float16
    assert half.embeddings.nbytes * 2 == full.embeddings.nbytes
    for x in np.linspace(0.1, 0.9, 7):
        image = square_image(x, 1 - x)
        expected, found = full.policy().predict(image), half.policy().predict(image)
        np.testing.assert_allclose(found.camera_delta, expected.camera_delta, atol=2e-3)
        assert abs(found.neighbors[0].distance - expected.neighbors[0].distance) < 2e-2


def test_what_was_measured_is_kept(parts: Path) -> None:
    measured = open_artefact(parts / "half").manifest.provenance["half_precision"]
    assert measured["overlap"] >= 0.98
    assert measured["k"] == 10


def test_added_frames_are_stored_alike(parts: Path, tmp_path: Path) -> None:
    more = write_square_demos(tmp_path / "more", 8)
    names = [demonstration.meta.name for demonstration in more.demonstrations]
    extend_policy(parts / "half", more.only(*names[6:]), tmp_path / "longer")
    assert open_artefact(tmp_path / "longer").embeddings.dtype == np.float16
    assert load_policy(tmp_path / "longer").predict(square_image(0.5, 0.5)).novelty < 1


def test_the_type_must_be_the_manifests(parts: Path, tmp_path: Path) -> None:
    manifest = parts / "half" / "manifest.json"
    text = manifest.read_text()
    try:
        manifest.write_text(text.replace('"storage": "float16"', '"storage": "float32"'))
        with pytest.raises(ArtefactMismatchError, match=r"float16.*float32"):
            open_artefact(parts / "half")
    finally:
        manifest.write_text(text)


def test_refused_where_rounding_changes_the_neighbours() -> None:
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(5), 20)
    # Far from the origin, half precision cannot tell the frames apart.
    features = (1000 + rng.normal(0, 0.1, (100, 16))).astype(np.float32)
    with pytest.raises(ConfigError, match=r"10 nearest.*98%"):
        checked_half(features, ids)
    stored, measured = checked_half(features - 1000, ids)
    assert stored.dtype == np.float16 and measured["overlap"] > 0.98


def test_values_beyond_half_precision_are_refused() -> None:
    with pytest.raises(ConfigError, match="65504"):
        stored_as(np.array([[1.0, 1e5]], np.float32), "float16")


def test_the_command(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "policy"
    arguments = ["policy", "build", str(parts / "demos"), "--encoder", str(parts / "encoder")]
    assert run([*arguments, "--out", str(out), "--half", "--k", "5"]) == 0
    assert "float16" in capsys.readouterr().out
