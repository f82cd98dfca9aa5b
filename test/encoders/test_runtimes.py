"""One encoder artefact in two run times: the same embeddings, and the fall-back between them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_encoder import DIMENSION, SIDE_PX, tiny_preprocessing, write_tiny_encoder
from vinn.encoders.artefact import ONNX_FILE, read_manifest, write_encoder
from vinn.encoders.encoder import load_encoder
from vinn.encoders.openvino_runtime import openvino_core
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError

onnx = pytest.importorskip("onnx", reason="needs the 'export' extra")
pytest.importorskip("onnxruntime", reason="needs the 'onnx' extra")


def write_tiny_onnx(path: Path, side_px: int = SIDE_PX) -> None:
    """The tiny encoder's network: means of 4 x 4 blocks, flat."""
    helper, kind = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["image"], ["means"], kernel_shape=[4, 4], strides=[4, 4]
            ),
            helper.make_node("Flatten", ["means"], ["embedding"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", kind.FLOAT, ["N", 3, side_px, side_px])],
        [helper.make_tensor_value_info("embedding", kind.FLOAT, ["N", 3 * (side_px // 4) ** 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The tiny encoder for both run times."""
    plain = write_tiny_encoder(tmp_path / "plain")
    model = openvino_core().read_model(plain / "model.xml")
    return write_encoder(
        model, "tiny", tiny_preprocessing(), tmp_path / "both", write_onnx=write_tiny_onnx
    )


def images(count: int = 7) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8) for i in range(count)]


@pytest.mark.parametrize("streams", [1, 3])
def test_both_run_times_embed_alike(directory: Path, streams: int) -> None:
    first = load_encoder(directory, runtime="openvino")
    second = load_encoder(directory, runtime="onnxruntime", streams=streams)
    assert first.runtime == "openvino"
    assert second.runtime.startswith("onnxruntime")
    found = second.embed(images())
    assert found.shape == (7, DIMENSION) and found.dtype == np.float32
    np.testing.assert_allclose(found, first.embed(images()), atol=1e-5)


def test_auto_prefers_openvino_and_falls_back(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_encoder(directory).runtime == "openvino"
    find_spec = importlib.util.find_spec

    def without_openvino(name: str, package: str | None = None) -> Any:
        return None if name == "openvino" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_openvino)
    assert load_encoder(directory).runtime.startswith("onnxruntime")
    with pytest.raises(ConfigError, match="'openvino' is not installed"):
        load_encoder(directory, runtime="openvino")


def test_the_portable_network_is_no_part_of_the_identity(directory: Path, tmp_path: Path) -> None:
    assert read_manifest(directory).hash == read_manifest(tmp_path / "plain").hash


def test_artefacts_from_before_there_was_a_portable_network_still_load(tmp_path: Path) -> None:
    old = write_tiny_encoder(tmp_path / "old")
    path = old / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["portable_files"]
    path.write_text(json.dumps(manifest))
    assert load_encoder(old).dimension == DIMENSION
    with pytest.raises(ArtefactError, match=ONNX_FILE):
        load_encoder(old, runtime="onnxruntime")


def test_a_changed_portable_network_is_refused(directory: Path) -> None:
    path = directory / ONNX_FILE
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtefactMismatchError, match=ONNX_FILE):
        load_encoder(directory)


def test_a_network_of_another_size_is_refused(directory: Path, tmp_path: Path) -> None:
    model = openvino_core().read_model(directory / "model.xml")
    other = write_encoder(
        model,
        "tiny",
        tiny_preprocessing(),
        tmp_path / "other",
        write_onnx=lambda path: write_tiny_onnx(path, side_px=32),
    )
    with pytest.raises(ArtefactMismatchError, match=r"32, 32.*16, 16"):
        load_encoder(other, runtime="onnxruntime")


def test_what_a_run_time_cannot_do_is_refused(directory: Path) -> None:
    with pytest.raises(ConfigError, match="bf16"):
        load_encoder(directory, runtime="onnxruntime", precision="bf16")
    with pytest.raises(ConfigError, match="allowed: auto, openvino, onnxruntime"):
        load_encoder(directory, runtime="tflite")  # type: ignore[arg-type]
