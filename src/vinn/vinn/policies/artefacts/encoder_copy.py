"""The copy of an encoder artefact that a policy keeps in `encoder/`."""

from __future__ import annotations

import shutil
from pathlib import Path

from vinn.encoders.artefact import EncoderManifest, read_manifest
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactMismatchError

FOLDER = "encoder"


def copy_encoder(encoder_dir: Path, folder: Path) -> EncoderManifest:
    """Copy an encoder artefact into a policy's folder.

    Raises:
        ArtefactError, ArtefactMismatchError: it is damaged.
    """
    manifest = read_manifest(encoder_dir)
    shutil.copytree(encoder_dir, folder / FOLDER)
    return manifest


def check_encoder(
    directory: Path,
    encoder_hash: str,
    dimension: int | None = None,
    preprocessing: Preprocessing | None = None,
    name: str = "",
) -> None:
    """Refuse another encoder than the policy was built with; None is not compared.

    Raises:
        ArtefactError: it is missing or malformed.
        ArtefactMismatchError: both values are named.
    """
    encoder = read_manifest(directory / FOLDER)
    pairs = {
        "hash": (encoder.hash[:12], encoder_hash[:12]),
        "dimension": (encoder.dimension, dimension),
        "preprocessing": (encoder.preprocessing, preprocessing),
    }
    for what, (found, wanted) in pairs.items():
        if wanted is not None and found != wanted:
            built_with = f" ({name})" if name else ""
            raise ArtefactMismatchError(
                f"{directory / FOLDER}: encoder {encoder.name} has {what} {found}, the "
                f"policy was built with {what} {wanted}{built_with}"
            )
