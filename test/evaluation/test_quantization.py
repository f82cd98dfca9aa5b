"""8-bit encoders: the ranking is measured, kept, and refused where it changes too much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import SIDE_PX, tiny_preprocessing, write_square_demos
from vinn.cli.main import run
from vinn.demos.store import Dataset
from vinn.encoders.artefact import read_manifest, write_encoder
from vinn.encoders.encoder import load_encoder
from vinn.encoders.openvino_runtime import import_openvino
from vinn.errors import ConfigError
from vinn.policies.artefacts import quantize_encoder as quantization
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.artefacts.quantize_encoder import quantize_encoder
from vinn.policies.memory import ActionMemory
from vinn.retrieval.ranking import compare_rankings

pytest.importorskip("nncf", reason="needs the 'quantize' extra")


def write_convolution(out_dir: Path) -> Path:
    """Random 5 x 5 convolutions with ReLU, averaged over quarters of the image."""
    openvino = import_openvino()
    import openvino.opset13 as ops

    kernels = np.random.default_rng(0).normal(0, 0.1, (16, 3, 5, 5)).astype(np.float32)
    image = ops.parameter([-1, 3, SIDE_PX, SIDE_PX], openvino.Type.f32, name="image")
    filtered = ops.convolution(image, ops.constant(kernels), [1, 1], [2, 2], [2, 2], [1, 1])
    pooled = ops.avg_pool(ops.relu(filtered), [4, 4], [0, 0], [0, 0], [4, 4], True)
    model = openvino.Model(
        [ops.result(ops.reshape(pooled, np.array([0, -1]), True))], [image], "convolution"
    )
    return write_encoder(model, "convolution", tiny_preprocessing(), out_dir)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """encoder/ and demos/."""
    root = tmp_path_factory.mktemp("parts")
    write_convolution(root / "encoder")
    write_square_demos(root / "demos", 6)
    return root


def test_what_is_reported_is_what_the_encoders_do(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, out = Dataset.open(parts / "demos"), tmp_path / "encoder8"
    arguments = ["encoder", "quantize", str(parts / "encoder"), "--dataset", str(parts / "demos")]
    assert run([*arguments, "--out", str(out)]) == 0
    manifest = read_manifest(out)
    assert manifest.name == "convolution-int8"
    assert manifest.hash != read_manifest(parts / "encoder").hash
    assert "FakeQuantize" in (out / "model.xml").read_text()
    full, small = (
        embed_dataset(dataset, load_encoder(directory)).embeddings
        for directory in (parts / "encoder", out)
    )
    assert not np.array_equal(full, small)
    expected = compare_rankings(full, small, ActionMemory.of(dataset).demonstration_ids)
    assert manifest.provenance["ranking"]["overlap"] == pytest.approx(expected.overlap)
    assert str(expected).split(" over")[0] in " ".join(capsys.readouterr().out.split())


def test_too_different_a_ranking_is_refused_unless_accepted(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantization, "MIN_OVERLAP", 1.01)
    dataset, out = Dataset.open(parts / "demos"), tmp_path / "encoder8"
    with pytest.raises(ConfigError, match="--accept-ranking"):
        quantize_encoder(parts / "encoder", dataset, out)
    assert list(tmp_path.iterdir()) == []
    agreement = quantize_encoder(parts / "encoder", dataset, out, 20, accept_ranking=True)
    assert read_manifest(out).provenance["ranking"]["overlap"] == agreement.overlap
