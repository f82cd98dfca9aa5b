"""Encoders that keep where things are: a grid of local features instead of their mean.

An encoder that averages its last feature map over the image forgets where the handle is. From any
such encoder's network, `localise_encoder` takes an earlier feature map M (C channels, sides of the
input over `stride`), averages it over a coarse grid and projects the channels by PCA:

    m_ij = mean of M over cell (i, j) of the grid        (C,)
    m_ij = (m_ij - m) / |m_ij - m|                       with `contrast`; m: mean over all cells
    e_ij = P^T (m_ij - mean)                             (c,)   P: principal directions, (C, c)
    e    = all e_ij, one after the other                 (c * grid * grid,)

With `contrast` a cell says how it differs from the rest of its image, not how strongly: the colour
of the light and of the wood falls away, edges stay.

Mean and directions come from the user's own demonstrations. All of it is compiled into the new
network, so the result is an encoder artefact like any other; since the layers behind the map fall
away, it is faster than the one it was made of. Needs no torch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.demos.frames import read_frame
from vinn.encoders.artefact import EncoderManifest, read_manifest, write_encoder
from vinn.encoders.encoder import load_encoder
from vinn.encoders.openvino_runtime import import_openvino, openvino_core
from vinn.encoders.principal import principal_components
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError

CALIBRATION_FRAMES = 400
"""Frames that the principal directions are computed from, spread evenly over the demonstrations."""

Progress = Callable[[int, int], None]


class LocalFeatures(BaseModel):
    """Which feature map, how coarse a grid, how many principal channels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stride: int = Field(default=16, ge=4, le=32)
    """Input pixels per cell of the feature map; the last residual sum at this stride is taken."""
    grid: int = Field(default=7, ge=1, le=28)
    """Cells per side after averaging; at most the map's. They overlap where it does not divide."""
    channels: int = Field(default=16, ge=1, le=512)
    """Principal channels kept per cell."""
    contrast: bool = False
    """Compare how cells differ from the mean of their image, each at length 1."""


def localise_encoder(
    encoder_dir: Path,
    frame_paths: Sequence[Path],
    out_dir: Path,
    settings: LocalFeatures | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Write an encoder artefact of local features.

    Args:
        encoder_dir: an encoder artefact of a convolutional network.
        frame_paths: demonstration frames; `CALIBRATION_FRAMES` of them are looked at.
        out_dir: is made, and must not exist.
        settings: stride, grid and channels.
        on_progress: called with (frames looked at, frames to look at).

    Raises:
        ConfigError: no frame, the network has no feature map at this stride, the grid does not
            divide it, or it has fewer channels.
        ArtefactError: bad encoder, or `out_dir` exists.
    """
    settings = settings or LocalFeatures()
    if not frame_paths:
        raise ConfigError("frames: none; local features are calibrated on demonstration frames")
    manifest = read_manifest(encoder_dir)
    chosen = np.linspace(0, len(frame_paths) - 1, min(len(frame_paths), CALIBRATION_FRAMES))
    paths = [frame_paths[int(index)] for index in chosen]
    cells = []
    with tempfile.TemporaryDirectory() as scratch:
        model = _grid_model(encoder_dir, manifest, settings)
        grid_encoder = load_encoder(
            write_encoder(model, manifest.name, manifest.preprocessing, Path(scratch) / "grid")
        )
        for done, path in enumerate(paths):
            features = grid_encoder.encode(manifest.preprocessing.resize(read_frame(path)))
            cells.append(features.reshape(-1, settings.grid**2).T)
            if on_progress is not None:
                on_progress(done + 1, len(paths))
    samples = np.concatenate(cells)
    mean, directions, variances = principal_components(samples, settings.channels)
    kept = float(variances.sum() / np.var(samples, axis=0, dtype=np.float64).sum())

    model = _projected(_grid_model(encoder_dir, manifest, settings), mean, directions)
    provenance = {
        "made_from": {"name": manifest.name, "hash": manifest.hash},
        "local_features": {**settings.model_dump(), "channels": len(variances)},
        "calibration_frames": len(paths),
        "variance_kept": round(kept, 4),
    }

    def verify(candidate: Path) -> dict[str, Any]:
        image = manifest.preprocessing.resize(read_frame(paths[0]))
        expected = ((cells[0] - mean) @ directions).T.reshape(-1)
        found = load_encoder(candidate).encode(image)
        difference = float(np.abs(found - expected).max())
        if not difference <= 1e-3 * max(float(np.abs(expected).max()), 1.0):
            raise ArtefactMismatchError(
                f"{candidate.name}: the compiled projection differs by {difference:.3g}"
            )
        return {"max_abs_difference_to_numpy": difference}

    name = f"{manifest.name}-local{settings.grid}x{settings.grid}"
    return write_encoder(model, name, manifest.preprocessing, out_dir, provenance, verify)


def read_network(directory: Path) -> Any:
    """The network of an encoder artefact, as OpenVINO's own object.

    Raises:
        ArtefactError: it has a network of its own instead.
    """
    if not (directory / "model.xml").is_file():
        raise ArtefactError(
            f"{directory}: has no model.xml; local features, detectors of grasp points, 8-bit "
            "integers and half precision are made of a network that OpenVINO reads"
        )
    return openvino_core().read_model(directory / "model.xml")


def _grid_model(encoder_dir: Path, manifest: EncoderManifest, settings: LocalFeatures) -> Any:
    """The network up to the feature map, averaged over the grid: (N, C * grid * grid)."""
    openvino = import_openvino()
    ops = openvino.opset13
    model = read_network(encoder_dir)
    prepare = manifest.preprocessing
    sides = (prepare.height_px // settings.stride, prepare.width_px // settings.stride)
    feature_map = last_residual_sum(model, sides, settings.stride, manifest.name, "local.stride")
    channels = feature_map.get_partial_shape()[1].get_length()
    if settings.grid > min(sides):
        raise ConfigError(
            f"local.grid: {settings.grid} cells of a feature map of {sides[0]}x{sides[1]} at "
            f"stride {settings.stride}; allowed: 1..{min(sides)}"
        )
    if settings.channels > channels:
        raise ConfigError(
            f"local.channels: {settings.channels} of a feature map with {channels} channels; "
            f"allowed: 1..{channels}"
        )
    shape = ops.constant(np.array([settings.grid, settings.grid], np.int64))
    cells = ops.adaptive_avg_pool(feature_map, shape).output(0)
    if settings.contrast:
        spatial, channel = np.array([2, 3], np.int64), np.array([1], np.int64)
        differing = ops.subtract(cells, ops.reduce_mean(cells, spatial, keep_dims=True))
        # An image without any contrast stays at zero.
        cells = ops.normalize_l2(differing, channel, eps=1e-12, eps_mode="add").output(0)
    return openvino.Model([_flat(cells)], model.get_parameters(), manifest.name)


def _projected(
    model: Any,
    mean: NDArray[np.float64],
    directions: NDArray[np.float64],
) -> Any:
    """The grid's network with the projection, a 1x1 convolution, behind it."""
    openvino = import_openvino()
    ops = openvino.opset13
    flat = model.get_results()[0].input_value(0)
    cells = flat.get_node().input_value(0)
    weights = np.ascontiguousarray(directions.T[:, :, None, None], np.float32)
    convolved = ops.convolution(cells, ops.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1])
    shift = -(mean @ directions).reshape(1, -1, 1, 1).astype(np.float32)
    return openvino.Model([_flat(ops.add(convolved, ops.constant(shift)))], model.get_parameters())


def _flat(feature_map: Any) -> Any:
    ops = import_openvino().opset13
    return ops.reshape(feature_map, ops.constant(np.array([0, -1], np.int64)), special_zero=True)


def last_residual_sum(
    model: Any, sides: tuple[int, int], stride: int, name: str, parameter: str
) -> Any:
    """Output of the last sum of two feature maps of these sides: the end of a residual stage.

    Raises:
        ConfigError: there is none; the message names `parameter`.
    """
    found = None
    for operation in model.get_ordered_ops():
        if operation.get_type_name() != "Add":
            continue
        shape = operation.output(0).get_partial_shape()
        if shape.rank.is_dynamic or len(shape) != 4 or shape[2].is_dynamic or shape[3].is_dynamic:
            continue
        inputs = [operation.input_value(i).get_node().get_type_name() for i in range(2)]
        if (shape[2].get_length(), shape[3].get_length()) == sides and "Constant" not in inputs:
            found = operation.output(0)
    if found is None:
        raise ConfigError(
            f"{parameter}: {stride}: encoder {name} has no residual stage of "
            f"{sides[0]}x{sides[1]} cells"
        )
    return found
