"""The encoder's feature maps, and encoder and head as one network (`vinn.encoders.artefact`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import EncoderManifest, write_encoder
from vinn.encoders.encoder import Encoder, load_for_datasets
from vinn.encoders.local import last_residual_sum, read_network
from vinn.encoders.openvino_runtime import import_openvino, openvino_core
from vinn.errors import ArtefactMismatchError
from vinn.learning.grasp.head import GraspHead
from vinn.learning.grasp.layers import Array
from vinn.policies.grasp.detector import DEPTH_VALUES

STRIDES = (8, 16)
MAX_RELATIVE_DIFFERENCE = 1e-3

FeatureMaps = tuple[NDArray[np.float16], NDArray[np.float16]]
"""Of N views at `STRIDES`, (N, rows, columns, C) each."""


def feature_maps(
    encoder_dir: Path,
    encoder: EncoderManifest,
    images_rgb: NDArray[np.uint8],
    scratch: Path,
    on_progress: Callable[[int, int], None],
) -> FeatureMaps:
    """Both maps of images (N, H, W, 3) at the encoder's size; `scratch` is made and removed.

    Raises:
        ConfigError: the encoder has no such feature maps.
    """
    openvino = import_openvino()
    ops = openvino.opset13
    network = read_network(encoder_dir)
    outputs = _map_outputs(network, encoder)
    shapes = [[d.get_length() for d in list(o.get_partial_shape())[1:]] for o in outputs]
    flat = [
        ops.reshape(o, ops.constant(np.array([0, -1], np.int64)), special_zero=True)
        for o in outputs
    ]
    both = openvino.Model([ops.concat(flat, 1)], network.get_parameters(), encoder.name)
    write_encoder(both, encoder.name, encoder.preprocessing, scratch)
    maps_of: Encoder = load_for_datasets(scratch)
    size = int(np.prod(shapes[0]))
    fine, coarse = (
        np.empty((len(images_rgb), rows, columns, channels), np.float16)
        for channels, rows, columns in shapes
    )
    for number, values in enumerate(maps_of.encode_each(iter(images_rgb))):
        fine[number] = values[:size].reshape(shapes[0]).transpose(1, 2, 0)
        coarse[number] = values[size:].reshape(shapes[1]).transpose(1, 2, 0)
        on_progress(number + 1, len(fine))
    for path in scratch.iterdir():
        path.unlink()
    scratch.rmdir()
    return fine, coarse


def write_network(
    encoder_dir: Path, encoder: EncoderManifest, head: GraspHead, folder: Path
) -> Path:
    """Encoder and head as one network, an encoder artefact in `folder`.

    Raises:
        ArtefactMismatchError: it does not compute what the head does.
    """
    openvino = import_openvino()
    network = read_network(encoder_dir)
    joined = openvino.Model(
        [head_output(head, *_map_outputs(network, encoder))], network.get_parameters(), encoder.name
    )

    def verify(candidate: Path) -> dict[str, Any]:
        image = np.random.default_rng(0).integers(
            0, 256, (encoder.preprocessing.height_px, encoder.preprocessing.width_px, 3), np.uint8
        )
        found = load_for_datasets(candidate).encode(image)
        wanted = _reference(encoder_dir, encoder, head, image)
        difference = float(np.abs(found - wanted).max())
        if not difference <= MAX_RELATIVE_DIFFERENCE * max(1.0, float(np.abs(wanted).max())):
            raise ArtefactMismatchError(
                f"{candidate.name}: the exported detector differs by {difference:.3g}"
            )
        return {"max_abs_difference_to_numpy": difference, "openvino": openvino.__version__}

    return write_encoder(
        joined,
        f"{encoder.name}-grasp-point",
        encoder.preprocessing,
        folder,
        {"made_from": {"name": encoder.name, "hash": encoder.hash}},
        verify,
    )


def _map_outputs(network: Any, encoder: EncoderManifest) -> list[Any]:
    prepare = encoder.preprocessing
    return [
        last_residual_sum(
            network,
            (prepare.height_px // stride, prepare.width_px // stride),
            stride,
            encoder.name,
            "stride",
        )
        for stride in STRIDES
    ]


def head_output(head: GraspHead, fine: Any, coarse: Any) -> Any:
    """`GraspHead.output` with OpenVINO's operations; its maps are (N, C, rows, columns)."""
    ops = import_openvino().opset13

    def constant(*values: int) -> Any:
        return ops.constant(np.array(values, np.int64))

    def differences(maps: Any) -> Any:
        off = ops.subtract(maps, ops.reduce_mean(maps, constant(2, 3), keep_dims=True))
        squares = ops.reduce_sum(ops.multiply(off, off), constant(1), keep_dims=True)
        return ops.divide(off, ops.sqrt(ops.add(squares, np.float32(1e-6))))

    def layer(name: str, maps: Any, kernel: int = 1, stride: int = 1) -> Any:
        weight = head.parameters[f"{name}.weight"]
        shaped = weight.reshape(kernel, kernel, -1, weight.shape[1]).transpose(3, 2, 0, 1)
        pad = [kernel // 2 if stride == 1 else 0] * 2
        found = ops.convolution(
            maps, ops.constant(np.ascontiguousarray(shaped)), [stride] * 2, pad, pad, [1, 1]
        )
        return ops.add(found, ops.constant(head.parameters[f"{name}.bias"][None, :, None, None]))

    def doubled(maps: Any) -> Any:
        return ops.interpolate(
            maps,
            ops.constant(np.array([2.0, 2.0], np.float32)),
            "linear_onnx",
            "scales",
            coordinate_transformation_mode="half_pixel",
            axes=constant(2, 3),
        )

    def cells(maps: Any, channels: int) -> Any:
        return ops.reshape(maps, constant(0, channels, -1), special_zero=True)

    phases = head.phases
    fine, coarse = differences(fine), differences(coarse)
    near = ops.relu(ops.add(layer("fine", fine), doubled(layer("coarse", coarse))))
    mixed = ops.relu(layer("mix", near, 3))
    sides = [layer("from_coarse", coarse), layer("from_mix", mixed, 2, 2)]
    first = ops.relu(layer("first", ops.relu(ops.concat(sides, 1)), 3))
    depth = doubled(layer("depth", ops.relu(layer("second", first, 3))))
    logits = cells(layer("heat", mixed), phases + 1)
    points = ops.slice(logits, constant(0), constant(phases), constant(1), constant(1))
    shares = ops.unsqueeze(ops.softmax(points, 2), constant(2))
    by_cell = ops.reshape(depth, constant(0, phases, DEPTH_VALUES, -1), special_zero=True)
    value = ops.reduce_sum(ops.multiply(shares, by_cell), constant(3), keep_dims=False)
    scale = head.depth_scale
    gain = np.stack([scale, np.full_like(scale, 0.5)], axis=1)[None]
    shift = np.stack([head.depth_mean, np.log(scale)], axis=1)[None]
    value = ops.add(ops.multiply(value, ops.constant(gain)), ops.constant(shift))
    flat = constant(0, -1)
    return ops.concat(
        [ops.reshape(part, flat, special_zero=True) for part in (logits, value)], 1
    ).output(0)


def _reference(
    encoder_dir: Path, encoder: EncoderManifest, head: GraspHead, image: NDArray[np.uint8]
) -> Array:
    """What the head makes of an image's feature maps, in NumPy."""
    openvino = import_openvino()
    network = read_network(encoder_dir)
    compiled = openvino_core().compile_model(
        openvino.Model(_map_outputs(network, encoder), network.get_parameters()),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    found = compiled(encoder.preprocessing.normalise(image))
    fine, coarse = (np.array(found[i]).transpose(0, 2, 3, 1) for i in range(len(STRIDES)))
    answer: Array = head.output(fine, coarse)[0]
    return answer
