"""Encoders whose weights are kept in half precision: half the disk, the same arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vinn.encoders.artefact import read_manifest, write_encoder
from vinn.encoders.encoder import load_encoder
from vinn.encoders.local import read_network
from vinn.errors import ArtefactMismatchError, ConfigError

MAX_RELATIVE_DIFFERENCE = 2e-2
"""Of embeddings of noise, as a share of their length. EfficientNet-Lite0 differs by 0.6 %."""
NOISE_IMAGES = 4


def halve_encoder(encoder_dir: Path, out_dir: Path) -> Path:
    """Write an encoder artefact with its weights in float16; it computes in float32 as before.

    Embeddings change a little, so a policy must be built with the encoder it runs.

    Args:
        encoder_dir: an encoder artefact of an OpenVINO network; stays as it is.
        out_dir: is made, and must not exist.

    Raises:
        ConfigError: its weights are in half precision already.
        ArtefactError: bad encoder, one with a network of its own, or `out_dir` exists.
        ArtefactMismatchError: embeddings differ by more than rounding explains.
    """
    manifest = read_manifest(encoder_dir)
    if "halved_from" in manifest.provenance:
        raise ConfigError(f"{encoder_dir}: its weights are in half precision already")
    prepare = manifest.preprocessing
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (NOISE_IMAGES, prepare.height_px, prepare.width_px, 3), np.uint8)

    def verify(candidate: Path) -> dict[str, Any]:
        full, half = (load_encoder(folder) for folder in (encoder_dir, candidate))
        wanted = np.array([full.encode(image) for image in noise])
        found = np.array([half.encode(image) for image in noise])
        lengths = np.linalg.norm(wanted, axis=1)
        difference = float((np.linalg.norm(found - wanted, axis=1) / lengths).max())
        if not difference <= MAX_RELATIVE_DIFFERENCE:
            raise ArtefactMismatchError(
                f"{out_dir}: embeddings differ by {difference:.2%} of their length; allowed: "
                f"{MAX_RELATIVE_DIFFERENCE:.0%}"
            )
        return {"relative_difference_by_halving": round(difference, 6)}

    return write_encoder(
        read_network(Path(encoder_dir)),
        manifest.name,
        prepare,
        Path(out_dir),
        {
            **manifest.provenance,
            "halved_from": {"name": manifest.name, "hash": manifest.hash},
        },
        verify,
        half=True,
    )
