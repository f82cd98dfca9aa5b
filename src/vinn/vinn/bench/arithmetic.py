"""The limit of a network's latency: its arithmetic at the rate of the fastest matrix product."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from vinn.encoders.network import Precision
from vinn.encoders.openvino_network import PRECISION_HINTS
from vinn.encoders.openvino_runtime import import_openvino, openvino_core

_SIDES = ((2048, 2048, 2048), (1024, 4096, 1024), (784, 1152, 1024))
"""Rows, inner length and columns of the products tried: large ones, and one of a layer's size."""


def network_gflop(encoder_dir: Path) -> float:
    """Multiplications and additions of one image in convolutions and matrix products, in 10^9."""
    model = openvino_core().read_model(encoder_dir / "model.xml")
    operations = 0
    for node in model.get_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution", "MatMul"):
            operations += 2 * _outputs(node) * _inputs_per_output(node)
    return operations / 1e9


def product_gflop_s(precision: Precision, threads: int, repeats: int = 10) -> float:
    """The fastest product of two matrices found in the encoder's run time [10^9 operations/s]."""
    return max(_rate(sides, precision, threads, repeats) for sides in _SIDES)


def _rate(sides: tuple[int, int, int], precision: Precision, threads: int, repeats: int) -> float:
    openvino = import_openvino()
    rows, inner, columns = sides
    rng = np.random.default_rng(0)
    left = rng.random((rows, inner), np.float32)
    operators = openvino.opset13
    given = operators.parameter(list(left.shape), np.float32)
    weights = operators.constant(rng.random((inner, columns), np.float32))
    model = openvino.Model([operators.matmul(given, weights, False, False)], [given])
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if precision != "auto":
        options["INFERENCE_PRECISION_HINT"] = PRECISION_HINTS[precision]
    request = openvino_core().compile_model(model, "CPU", options).create_infer_request()
    request.infer([left], share_inputs=True)
    seconds = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        request.infer([left], share_inputs=True)
        seconds.append(time.perf_counter() - started_s)
    return 2 * rows * inner * columns / min(seconds) / 1e9


def _outputs(node: Any) -> int:
    """Numbers that an operation gives for one image."""
    shape = node.get_output_partial_shape(0)
    return int(np.prod([1 if side.is_dynamic else side.get_length() for side in shape]))


def _inputs_per_output(node: Any) -> int:
    weights = list(node.input(1).get_shape())
    if node.get_type_name() == "Convolution":
        return int(np.prod(weights[1:]))  # (out, in, height, width)
    if node.get_type_name() == "GroupConvolution":
        return int(np.prod(weights[2:]))  # (groups, out, in, height, width)
    return int(weights[-1] if node.get_attributes()["transpose_b"] else weights[-2])
