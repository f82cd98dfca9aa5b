"""Networks of the same image that begin alike: what they share is computed once.

A detector of grasp points is trained on an encoder's feature maps, so its network begins with the
encoder's own layers, weight for weight. Both are joined where their layers are equal (operation,
attributes, constants, inputs); what is computed stays the same.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import Encoder, load_encoder, network_kind
from vinn.encoders.network import Precision
from vinn.encoders.openvino_network import compile_network, read_network
from vinn.encoders.openvino_runtime import import_openvino
from vinn.errors import ArtefactError


def load_together(
    directories: Sequence[Path], threads: int = 1, precision: Precision = "fp32"
) -> tuple[Encoder, ...]:
    """Load artefacts that are asked about the same images, as `load_encoder` does.

    The first one that is asked about an image computes the answers of all.

    Raises:
        ArtefactError, ArtefactMismatchError, ConfigError: see `load_encoder`.
    """
    paths = [Path(directory) for directory in directories]
    manifests = [read_manifest(path) for path in paths]
    kinds = [network_kind(path, m).name for path, m in zip(paths, manifests, strict=True)]
    same_images = all(m.preprocessing == manifests[0].preprocessing for m in manifests)
    if not same_images or any(kind != "openvino" for kind in kinds):
        return tuple(load_encoder(path, threads, precision) for path in paths)
    models = [read_network(path, m) for path, m in zip(paths, manifests, strict=True)]
    joint = _JointNetwork(compile_network(join(models), threads, precision))
    return tuple(Encoder(m, _Part(joint, number)) for number, m in enumerate(manifests))


def join(models: Sequence[Any]) -> Any:
    """One `openvino.Model` with the outputs of several, in their order; takes the models over.

    Raises:
        ArtefactError: their inputs differ, so nothing is shared.
    """
    known: dict[tuple[object, ...], Any] = {}
    results = []
    for model in models:
        for node in model.get_ordered_ops():
            if node.get_type_name() == "Result":
                results.append(node)
                continue
            first = known.setdefault(_identity(node), node)
            if first is not node:
                for number in range(node.get_output_size()):
                    for target in node.output(number).get_target_inputs():
                        target.replace_source_output(first.output(number))
    inputs = [node for node in known.values() if node.get_type_name() == "Parameter"]
    if len(inputs) != 1:
        raise ArtefactError(f"{len(inputs)} different inputs of networks that are joined")
    return import_openvino().Model(results, inputs, "joint")


def _identity(node: Any) -> tuple[object, ...]:
    """Equal for nodes that compute the same: those before them have been replaced already."""
    kind = node.get_type_name()
    if kind == "Constant":
        data = np.ascontiguousarray(node.get_data())
        content = hashlib.sha256(data.tobytes()).hexdigest()
        return kind, str(node.get_element_type()), tuple(data.shape), content
    if kind == "Parameter":
        return kind, str(node.get_element_type()), str(node.get_output_partial_shape(0))
    sources = [node.input_value(number) for number in range(node.get_input_size())]
    before = tuple((s.get_node().get_instance_id(), s.get_index()) for s in sources)
    return kind, repr(sorted(node.get_attributes().items())), before


class _JointNetwork:
    """Keeps the answers to the last image, for those that ask about it next."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self._request = compiled.create_infer_request()
        self._image: NDArray[np.uint8] | None = None

    def answer(self, resized_rgb: NDArray[np.uint8], number: int) -> NDArray[np.float32]:
        if self._image is None or not np.array_equal(self._image, resized_rgb):
            self._image = None
            self._request.infer({0: resized_rgb[None]})
            self._image = resized_rgb.copy()
        data = self._request.get_output_tensor(number).data[0]
        return np.array(data, dtype=np.float32)


class _Part:
    """One network of a joint one; see `vinn.encoders.network.Network`."""

    runtime = "openvino"

    def __init__(self, joint: _JointNetwork, number: int) -> None:
        self._joint, self._number = joint, number

    @property
    def compiled(self) -> Any:
        return self._joint.compiled

    def request(self) -> _PartRequest:
        return _PartRequest(self._joint, self._number)


class _PartRequest:
    def __init__(self, joint: _JointNetwork, number: int) -> None:
        self._joint, self._number = joint, number
        self._started = deque[NDArray[np.uint8]]()

    def run(self, resized_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._joint.answer(resized_rgb, self._number)

    def start(self, resized_rgb: NDArray[np.uint8]) -> None:
        self._started.append(resized_rgb)

    def result(self) -> NDArray[np.float32]:
        return self.run(self._started.popleft())
