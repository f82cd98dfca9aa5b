"""An encoder's network in OpenVINO, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import EncoderManifest, check_input_shape
from vinn.encoders.network import NetworkKind, Precision
from vinn.encoders.openvino_runtime import import_openvino, openvino_core
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactError, ArtefactMismatchError
from vinn.reading.regular import check_regular, parsing

PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoNetwork:
    """`vinn.encoders.network.Network`; (x - mean) / std is compiled into it."""

    def __init__(
        self,
        directory: Path,
        manifest: EncoderManifest,
        threads: int,
        precision: Precision,
        streams: int,
    ) -> None:
        """Compile model.xml; arguments as those of `vinn.encoders.encoder.load_encoder`.

        Raises:
            ArtefactError, ArtefactMismatchError: see `read_network`.
        """
        self.compiled = compile_network(
            read_network(directory, manifest), threads, precision, streams
        )

    @property
    def runtime(self) -> str:
        """See `Network`."""
        return "openvino"

    def request(self) -> _Request:
        """See `Network`."""
        return _Request(self.compiled.create_infer_request())


class _Request:
    def __init__(self, request: Any) -> None:
        self._request = request

    def run(self, resized_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._request.infer({0: resized_rgb[None]})
        return self._output()

    def start(self, resized_rgb: NDArray[np.uint8]) -> None:
        self._request.start_async({0: resized_rgb[None]})

    def result(self) -> NDArray[np.float32]:
        self._request.wait()
        return self._output()

    def _output(self) -> NDArray[np.float32]:
        return np.array(self._request.get_output_tensor(0).data[0], dtype=np.float32)


def read_network(directory: Path, manifest: EncoderManifest) -> Any:
    """The `openvino.Model` of an artefact: (1, height, width, 3) uint8 RGB to (1, D).

    Raises:
        ArtefactError: OpenVINO cannot read it.
        ArtefactMismatchError: input size or dimension are not what the manifest says.
    """
    path = directory / "model.xml"
    check_regular(path, ArtefactError)
    check_regular(path.with_suffix(".bin"), ArtefactError)
    with parsing(path, ArtefactError, "a network that OpenVINO loads"):
        model = openvino_core().read_model(path)
        check_input_shape(model, manifest.preprocessing, str(directory))
        model = _with_normalisation(model, manifest.preprocessing)
        found = tuple(model.output(0).shape)
    if found != (1, manifest.dimension):
        raise ArtefactMismatchError(
            f"{directory}: the network gives shape {list(found)}, the manifest says dimension "
            f"{manifest.dimension}"
        )
    return model


def compile_network(model: Any, threads: int, precision: Precision, streams: int = 1) -> Any:
    """The `openvino.CompiledModel`; arguments as those of `load_encoder`."""
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
        # A pinned thread waits for its processor while another one idles; beside the other
        # processes of a robot there is no processor of its own.
        "ENABLE_CPU_PINNING": False,
    }
    if precision != "auto":
        options["INFERENCE_PRECISION_HINT"] = PRECISION_HINTS[precision]
    return openvino_core().compile_model(model, "CPU", options)


def _with_normalisation(model: Any, preprocessing: Preprocessing) -> Any:
    """The network with batch size 1 and (x - mean) / std in front, taking NHWC uint8."""
    openvino = import_openvino()
    model.reshape([1, 3, preprocessing.height_px, preprocessing.width_px])
    builder = openvino.preprocess.PrePostProcessor(model)
    builder.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    builder.input().model().set_layout(openvino.Layout("NCHW"))
    steps = builder.input().preprocess().convert_element_type(openvino.Type.f32)
    steps.mean(list(preprocessing.mean)).scale(list(preprocessing.std))
    return builder.build()


NETWORK = NetworkKind("openvino", OpenVinoNetwork, "openvino")
