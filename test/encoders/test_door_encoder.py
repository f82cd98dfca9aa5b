"""The trained encoder that comes with the project is whole, small, and says how it came to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_encoder

DOOR_ENCODER = Path(__file__).parents[2] / "examples" / "encoders" / "door-byol"
LARGEST_BYTES = 10_000_000


def test_it_is_small_and_says_how_it_came_to_be() -> None:
    manifest = read_manifest(DOOR_ENCODER)
    assert sum(path.stat().st_size for path in DOOR_ENCODER.iterdir()) < LARGEST_BYTES
    provenance = manifest.provenance
    assert (provenance["method"], provenance["frames"], provenance["steps"]) == ("byol", 1851, 5700)
    assert "halved_from" in provenance


def test_its_embeddings_are_those_of_a_trained_network(lite0_encoder: Path) -> None:
    """No collapse, and not the network that it began as."""
    trained, before = load_encoder(DOOR_ENCODER), load_encoder(lite0_encoder)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 16, 16, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    found, earlier = (
        np.array([encoder.encode(encoder.preprocessing.resize(image)) for image in images])
        for encoder in (trained, before)
    )
    assert np.isfinite(found).all()
    lengths = np.linalg.norm(found, axis=1)
    assert np.linalg.norm(found - found.mean(axis=0), axis=1).min() > 0.05 * lengths.mean()
    assert np.linalg.norm(found - earlier, axis=1).min() > 0.05 * lengths.mean()
