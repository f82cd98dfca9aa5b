"""The seam between an encoder and the run time that computes its network."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Precision = Literal["auto", "fp32", "bf16"]
Runtime = Literal["auto", "openvino", "onnxruntime"]


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
