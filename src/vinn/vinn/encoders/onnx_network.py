"""An encoder's network in ONNX Runtime: where OpenVINO is not to be had, or there is a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import ONNX_FILE, EncoderManifest
from vinn.encoders.function_network import FunctionNetwork
from vinn.encoders.network import NetworkKind, Precision
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.reading.regular import check_regular, parsing

CUDA = "CUDAExecutionProvider"


class OnnxNetwork(FunctionNetwork):
    """On CUDA where this ONNX Runtime has it, else on the CPU."""

    def __init__(
        self,
        directory: Path,
        manifest: EncoderManifest,
        threads: int,
        precision: Precision,
        streams: int,
    ) -> None:
        """Load model.onnx; arguments as those of `vinn.encoders.encoder.load_encoder`.

        Raises:
            ConfigError: precision is bf16.
            ArtefactError: the artefact has no model.onnx, or it cannot be read.
            ArtefactMismatchError: input size or dimension are not what the manifest says.
        """
        if precision == "bf16":
            raise ConfigError(
                "precision: 'bf16' is not for runtime onnxruntime; allowed: auto, fp32"
            )
        if ONNX_FILE not in manifest.portable_files:
            raise ArtefactError(
                f"{directory}: has no {ONNX_FILE}, which runtime onnxruntime needs; export it anew "
                "with the 'export' extra"
            )
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        providers: list[Any] = ["CPUExecutionProvider"]
        if CUDA in onnxruntime.get_available_providers():
            # TF32 rounds products to 10 bits: not "fp32".
            providers.insert(0, (CUDA, {"use_tf32": int(precision == "auto")}))
        path = directory / ONNX_FILE
        check_regular(path, ArtefactError)
        with parsing(path, ArtefactError, "a network that ONNX Runtime loads"):
            self.compiled = onnxruntime.InferenceSession(path, options, providers=providers)
        self._preprocessing = manifest.preprocessing
        self._input = self.compiled.get_inputs()[0].name
        self._check_shapes(path, manifest)
        device = "CUDA" if CUDA in self.compiled.get_providers() else "CPU"
        super().__init__(f"onnxruntime ({device})", self._embed, streams, self.compiled)

    def _embed(self, resized_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = self._preprocessing.normalise(resized_rgb)
        return np.asarray(self.compiled.run(None, {self._input: pixels})[0][0], np.float32)

    def _check_shapes(self, path: Path, manifest: EncoderManifest) -> None:
        prepare = manifest.preprocessing
        found = (self.compiled.get_inputs()[0].shape[1:], self.compiled.get_outputs()[0].shape[1:])
        wanted = ([3, prepare.height_px, prepare.width_px], [manifest.dimension])
        for what, has, says in zip(("input", "output"), found, wanted, strict=True):
            # A name in place of a length: any.
            if len(has) != len(says) or any(
                isinstance(h, int) and h != s for h, s in zip(has, says, strict=True)
            ):
                raise ArtefactMismatchError(
                    f"{path}: the network's {what} is (N, {has}), the manifest says (N, {says})"
                )


NETWORK = NetworkKind("onnxruntime", OnnxNetwork, "onnxruntime")
