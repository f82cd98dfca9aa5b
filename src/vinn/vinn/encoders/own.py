"""Encoder artefacts with a network of one's own: anything that makes a vector of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vinn.demos.files import atomic_directory, sha256_file
from vinn.encoders.artefact import EncoderManifest, write_manifest
from vinn.encoders.encoder import load_encoder
from vinn.encoders.preprocessing import Preprocessing
from vinn.encoders.registry import NETWORKS
from vinn.errors import ArtefactError


def write_own_encoder(
    network: str,
    name: str,
    preprocessing: Preprocessing,
    dimension: int,
    out_dir: Path,
    write: Callable[[Path], None] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write an encoder artefact that a registered network computes.

    Args:
        network: name of a `NetworkKind` in `vinn.encoders.registry.NETWORKS`.
        name: of the encoder.
        preprocessing: what happens to an image before the network.
        dimension: D, the length of an embedding.
        out_dir: is made, and must not exist.
        write: writes the network's files into the folder it is given; None: it has none.
        provenance: where it comes from.

    Raises:
        ConfigError: the network is not known.
        ArtefactError: `out_dir` exists. Nothing is left half-written.
        ArtefactMismatchError: the network's answer is not of this dimension.
        ImageError: its answer to a black image is not finite.
    """
    NETWORKS[network]
    out_dir = Path(out_dir)
    with atomic_directory(out_dir, ArtefactError) as folder:
        if write is not None:
            write(folder)
        manifest = EncoderManifest(
            name=name,
            dimension=dimension,
            preprocessing=preprocessing,
            files={path.name: sha256_file(path) for path in sorted(folder.iterdir())},
            network=network,
            hash="",
            provenance=dict(provenance or {}),
        )
        write_manifest(folder, manifest)
        black = np.zeros((preprocessing.height_px, preprocessing.width_px, 3), np.uint8)
        load_encoder(folder).encode(black)
    return out_dir
