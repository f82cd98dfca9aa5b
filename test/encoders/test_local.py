"""Local features: where things are survives, and the compiled projection is the formula."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_encoder import square_image, write_tiny_encoder
from vinn.demos.frames import encode_jpeg, read_frame
from vinn.encoders.artefact import read_manifest, write_encoder
from vinn.encoders.encoder import Encoder, load_encoder
from vinn.encoders.local import LocalFeatures, localise_encoder
from vinn.encoders.openvino_runtime import import_openvino
from vinn.encoders.preprocessing import Preprocessing
from vinn.encoders.principal import principal_components
from vinn.errors import ArtefactError, ConfigError

SIDE_PX, STRIDE, CHANNELS = 64, 8, 6
CELLS = SIDE_PX // STRIDE


def weights(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def write_residual_encoder(out_dir: Path, linear: bool = False) -> Path:
    """A convolution of stride 8, a residual block, and the mean over the image."""
    openvino = import_openvino()
    ops = openvino.opset13
    image = ops.parameter([-1, 3, SIDE_PX, SIDE_PX], openvino.Type.f32, name="image")
    stem = ops.convolution(
        image, weights(0, CHANNELS, 3, STRIDE, STRIDE), [STRIDE, STRIDE], [0, 0], [0, 0], [1, 1]
    )
    biased = ops.add(stem, ops.constant(weights(1, 1, CHANNELS, 1, 1)))
    branch = ops.convolution(
        biased if linear else ops.relu(biased),
        weights(2, CHANNELS, CHANNELS, 1, 1),
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
    )
    summed = ops.add(biased, branch)
    pooled = ops.reduce_mean(ops.relu(summed), np.array([2, 3]), False)
    preprocessing = Preprocessing(
        width_px=SIDE_PX, height_px=SIDE_PX, mean=(127.0,) * 3, std=(128.0,) * 3
    )
    return write_encoder(openvino.Model([pooled], [image]), "residual", preprocessing, out_dir)


def feature_map(resized_rgb: np.ndarray) -> np.ndarray:
    """(C, 8, 8): the residual sum by numpy alone."""
    chw = (resized_rgb.astype(np.float64).transpose(2, 0, 1) - 127) / 128
    patches = chw.reshape(3, CELLS, STRIDE, CELLS, STRIDE)
    stem = np.einsum("oiyx,iaybx->oab", weights(0, CHANNELS, 3, STRIDE, STRIDE), patches)
    stem += weights(1, 1, CHANNELS, 1, 1)[0]
    branch = weights(2, CHANNELS, CHANNELS, 1, 1)[:, :, 0, 0]
    return stem + np.einsum("oi,iab->oab", branch, np.maximum(stem, 0))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_residual_encoder(tmp_path_factory.mktemp("residual") / "encoder")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("frames")
    paths = []
    for index, (x, y) in enumerate(np.random.default_rng(0).uniform(size=(20, 2))):
        path = root / f"{index}.jpg"
        path.write_bytes(encode_jpeg(square_image(x, y), 95))
        paths.append(path)
    return paths


@pytest.mark.parametrize(("grid", "contrast"), [(8, False), (4, False), (2, False), (4, True)])
def test_embedding_is_the_projected_grid_of_the_residual_sum(
    encoder: Path, frames: list[Path], tmp_path: Path, grid: int, contrast: bool
) -> None:
    settings = LocalFeatures(stride=STRIDE, grid=grid, channels=4, contrast=contrast)
    found = load_encoder(localise_encoder(encoder, frames, tmp_path / "local", settings))
    assert found.dimension == 4 * grid**2

    def cells(path: Path) -> np.ndarray:
        size = CELLS // grid
        features = feature_map(found.preprocessing.resize(read_frame(path)))
        pooled = features.reshape(CHANNELS, grid, size, grid, size).mean(axis=(2, 4))
        cells = pooled.reshape(CHANNELS, -1).T
        if contrast:
            cells = cells - cells.mean(axis=0)
            cells /= np.linalg.norm(cells, axis=1, keepdims=True)
        return cells

    samples = np.concatenate([cells(path) for path in frames])
    mean, directions, _ = principal_components(samples.astype(np.float32), 4)
    for path in frames[:5]:
        expected = ((cells(path) - mean) @ directions).T.reshape(-1)
        np.testing.assert_allclose(found.embed([read_frame(path)])[0], expected, atol=2e-3)


def test_place_survives_where_the_mean_forgets_it(
    encoder: Path, frames: list[Path], tmp_path: Path
) -> None:
    """A square moved by whole cells looks the same to the mean, and not to local features."""
    local = load_encoder(
        localise_encoder(
            encoder, frames, tmp_path / "local", LocalFeatures(stride=STRIDE, channels=4)
        )
    )
    pooled = load_encoder(encoder)
    here, there = (np.full((SIDE_PX, SIDE_PX, 3), 60, np.uint8) for _ in range(2))
    cv2.rectangle(here, (8, 8), (23, 23), (220, 140, 40), -1)
    there[:, 32:] = here[:, :32]
    there[:, :32] = 60

    def distance(encoder: object) -> float:
        first, second = encoder.embed([here, there])  # type: ignore[attr-defined]
        return float(np.linalg.norm(first - second) / np.linalg.norm(first))

    assert distance(pooled) < 1e-4
    assert distance(local) > 0.1


def test_contrast_forgets_the_colour_of_the_light_and_blank_images_have_none(
    frames: list[Path], tmp_path: Path
) -> None:
    """Of a linear network: another exposure scales the differences between cells, all alike."""
    linear = write_residual_encoder(tmp_path / "linear", linear=True)
    plain, contrast = (
        load_encoder(
            localise_encoder(
                linear,
                frames,
                tmp_path / f"local-{on}",
                LocalFeatures(stride=STRIDE, grid=8, channels=3, contrast=on),
            )
        )
        for on in (False, True)
    )
    image = np.full((SIDE_PX, SIDE_PX, 3), 40, np.uint8)
    cv2.rectangle(image, (8, 16), (39, 39), (120, 80, 20), -1)
    brighter = image * 2 + 10

    def apart(encoder: Encoder) -> float:
        first, second = encoder.embed([image, brighter])
        return float(np.linalg.norm(first - second) / np.linalg.norm(first))

    assert apart(plain) > 0.3
    assert apart(contrast) < 1e-3
    blank = contrast.embed([np.full((SIDE_PX, SIDE_PX, 3), level, np.uint8) for level in (0, 255)])
    assert np.isfinite(blank).all()


def test_artefact_is_reproducible_and_says_what_it_was_made_of(
    encoder: Path, frames: list[Path], tmp_path: Path
) -> None:
    settings = LocalFeatures(stride=STRIDE, grid=4, channels=3)
    progress: list[tuple[int, int]] = []
    first = localise_encoder(
        encoder,
        frames,
        tmp_path / "a",
        settings,
        lambda done, total: progress.append((done, total)),
    )
    second = localise_encoder(encoder, frames, tmp_path / "b", settings)
    manifest = read_manifest(first)
    assert manifest.hash == read_manifest(second).hash
    assert manifest.name == "residual-local4x4"
    assert manifest.provenance["made_from"]["hash"] == read_manifest(encoder).hash
    assert 0 < manifest.provenance["variance_kept"] <= 1
    assert progress[-1] == (20, 20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 4}, "local.stride: 4: encoder residual has no residual stage of 16x16"),
        ({"stride": 8, "grid": 9}, r"local.grid: 9 cells of a feature map of 8x8.*1\.\.8"),
        ({"stride": 8, "channels": 7}, r"local.channels: 7 .* 6 channels; allowed: 1\.\.6"),
    ],
)
def test_what_the_network_lacks_is_refused(
    encoder: Path, frames: list[Path], tmp_path: Path, settings: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        localise_encoder(
            encoder, frames, tmp_path / "local", LocalFeatures(**{"channels": 2, **settings})
        )
    assert not (tmp_path / "local").exists()


def test_other_refusals(encoder: Path, frames: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="frames: none"):
        localise_encoder(encoder, [], tmp_path / "local")
    with pytest.raises(ConfigError, match="residual"):
        localise_encoder(
            write_tiny_encoder(tmp_path / "tiny"),
            frames,
            tmp_path / "local",
            LocalFeatures(stride=4),
        )
    with pytest.raises(ArtefactError, match="exists"):
        settings = LocalFeatures(stride=STRIDE, channels=2)
        localise_encoder(encoder, frames, encoder, settings)
