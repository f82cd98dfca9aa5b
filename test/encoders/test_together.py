"""Networks that begin alike compute the same together as each alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_encoder
from vinn.encoders.openvino_network import read_network
from vinn.encoders.together import join, load_together

SIZE = (224, 224, 3)


@pytest.fixture
def images() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, SIZE, dtype=np.uint8) for _ in range(3)]


def test_answers_are_those_of_each_alone(
    lite0_encoder: Path, door_detector: Path, images: list[NDArray[np.uint8]]
) -> None:
    folders = (lite0_encoder, door_detector)
    alone = [load_encoder(folder) for folder in folders]
    together = load_together(folders)
    # Whoever asks first, and in whatever order.
    for image in (*images, *images):
        for one, other in zip(reversed(alone), reversed(together), strict=True):
            np.testing.assert_array_equal(one.encode(image), other.encode(image))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.embed(images), other.embed(images))
        assert (one.hash, one.dimension) == (other.hash, other.dimension)


def test_an_image_that_is_written_over_is_another_one(
    lite0_encoder: Path, door_detector: Path, images: list[NDArray[np.uint8]]
) -> None:
    """A camera's driver may fill the same memory again."""
    folders = (lite0_encoder, door_detector)
    alone = load_encoder(lite0_encoder)
    encoder, detector = load_together(folders)
    buffer = images[0].copy()
    detector.encode(buffer)
    buffer[:] = images[1]
    np.testing.assert_array_equal(encoder.encode(buffer), alone.encode(images[1]))


def test_the_detector_adds_only_its_own_layers(lite0_encoder: Path, door_detector: Path) -> None:
    def model(folder: Path) -> object:
        return read_network(folder, read_manifest(folder))

    def convolutions(found: object) -> int:
        kinds = [node.get_type_name() for node in found.get_ordered_ops()]  # type: ignore[attr-defined]
        return sum("Convolution" in kind for kind in kinds)

    encoder, detector = model(lite0_encoder), model(door_detector)
    apart = convolutions(encoder), convolutions(detector)
    joint = join([encoder, detector])
    assert len(joint.outputs) == 2
    # An encoder of pooled features has more layers behind the map that the detector looks at.
    assert max(apart) < convolutions(joint) < 0.75 * sum(apart)


def test_another_preprocessing_is_computed_apart(
    lite0_encoder: Path, tmp_path: Path, images: list[NDArray[np.uint8]]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(lite0_encoder, other)
    manifest = read_manifest(lite0_encoder)
    preprocessing = manifest.preprocessing.model_copy(update={"mean": (100.0, 100.0, 100.0)})
    manifest = manifest.model_copy(update={"preprocessing": preprocessing})
    manifest = manifest.model_copy(update={"hash": manifest.computed_hash()})
    (other / "manifest.json").write_text(manifest.model_dump_json())
    first, second = load_together((lite0_encoder, other))
    np.testing.assert_array_equal(
        first.encode(images[0]), load_encoder(lite0_encoder).encode(images[0])
    )
    np.testing.assert_array_equal(second.encode(images[0]), load_encoder(other).encode(images[0]))
    assert not np.array_equal(first.encode(images[0]), second.encode(images[0]))
