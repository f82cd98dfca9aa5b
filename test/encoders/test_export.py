"""Export from torch: features agree, hostile and wrong weights are refused."""

from __future__ import annotations

import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
torchvision = pytest.importorskip("torchvision", reason="needs the 'train' extra")

from vinn.learning.export import export_encoder  # noqa: E402


class Hostile:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.marker,))


def test_resnet18_from_a_weight_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None).eval()
    # Statistics other than 0 and 1, so that a BatchNorm in training mode would show.
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    weights = tmp_path / "resnet18.pt"
    torch.save(network.state_dict(), weights)
    directory = export_encoder("resnet18", tmp_path / "encoder", weights, onnx=True)
    encoder = load_encoder(directory)
    assert encoder.dimension == 512
    image = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    to_tensor = torchvision.transforms.functional.normalize(
        torch.from_numpy(image).permute(2, 0, 1).float() / 255,
        [0.485, 0.456, 0.406],
        [0.229, 0.224, 0.225],
    )
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = network(to_tensor[None]).numpy()[0]
    np.testing.assert_allclose(
        encoder.embed([image])[0], expected, atol=1e-4 * np.abs(expected).max()
    )
    pytest.importorskip("onnxruntime")
    portable = load_encoder(directory, runtime="onnxruntime")
    np.testing.assert_allclose(
        portable.embed([image])[0], expected, atol=1e-4 * np.abs(expected).max()
    )


def test_hostile_weights_never_run(tmp_path: Path) -> None:
    marker, weights = tmp_path / "ran", tmp_path / "weights.pt"
    torch.save({"conv1.weight": Hostile(marker)}, weights)
    for path in (weights, tmp_path / "raw.pkl"):
        if not path.exists():
            path.write_bytes(pickle.dumps(Hostile(marker), protocol=2))
        with pytest.raises(ArtefactError, match=path.name):
            export_encoder("resnet18", tmp_path / "encoder", path)
    assert not marker.exists()
    assert not (tmp_path / "encoder").exists()


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "resnet18.pt"
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save({k: v for k, v in state.items() if k != "layer1.0.conv1.weight"}, weights)
    with pytest.raises(ArtefactError, match=r"layer1\.0\.conv1\.weight"):
        export_encoder("resnet18", tmp_path / "encoder", weights)
    state["layer1.0.conv1.weight"] = torch.zeros(1, 1, 3, 3)
    torch.save(state, weights)
    with pytest.raises(ArtefactMismatchError, match=r"\(1, 1, 3, 3\)"):
        export_encoder("resnet18", tmp_path / "encoder", weights)
    with pytest.raises(ArtefactError, match="no such weight file"):
        export_encoder("resnet18", tmp_path / "encoder", tmp_path / "nowhere.pt")
    with pytest.raises(ConfigError, match=r"vgg.*resnet50"):
        export_encoder("vgg", tmp_path / "encoder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resnet18.pt"]


def test_without_network_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(ArtefactError, match=r"resnet50.*--weights") as caught:
        export_encoder("resnet50", tmp_path / "encoder")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
