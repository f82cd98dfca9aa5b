"""The seam between an encoder and the run time that computes its network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import EncoderManifest

Precision = Literal["auto", "fp32", "bf16"]


class InferenceRequest(Protocol):
    """One image in work; may be used again once its result was taken."""

    def run(self, resized_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embedding (D,) of one image (height, width, 3) that fits the network."""

    def start(self, resized_rgb: NDArray[np.uint8]) -> None:
        """Begin with an image; returns at once."""

    def result(self) -> NDArray[np.float32]:
        """Wait for the image that was started; its embedding (D,), the caller's to keep."""


class Network(Protocol):
    """A network that is ready to run."""

    @property
    def runtime(self) -> str:
        """ "openvino", or "onnxruntime" with the device it computes on."""

    @property
    def compiled(self) -> Any:
        """The run time's own object: `openvino.CompiledModel`, `onnxruntime.InferenceSession`."""

    def request(self) -> InferenceRequest:
        """A new request; several may be in work at a time."""


@dataclass(frozen=True)
class NetworkKind:
    """What makes a network of an encoder artefact.

    Attributes:
        name: as in `load_encoder(runtime=...)`, and in the manifest of a network of its own.
        open: (directory, manifest, threads, precision, streams) to the network, ready to run. May
            raise `ArtefactError`, `ArtefactMismatchError` and `ConfigError`.
        module: that must be installed for it; empty: none.
    """

    name: str
    open: Callable[[Path, EncoderManifest, int, Precision, int], Network]
    module: str = ""
