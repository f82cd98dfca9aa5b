"""Encoders in 8 bits, and whether the user's own frames still find the same neighbours."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.encoders.artefact import read_manifest, write_encoder
from vinn.encoders.encoder import load_for_datasets
from vinn.encoders.local import read_network
from vinn.encoders.openvino_runtime import import_openvino
from vinn.errors import ConfigError
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.memory import ActionMemory
from vinn.retrieval.ranking import RankingAgreement, compare_rankings

CALIBRATION_FRAMES = 300
"""Frames that value ranges are taken from, spread evenly over the demonstrations."""
MIN_OVERLAP = 0.8
"""Least share of the ten nearest that must stay, unless the user accepts fewer."""

OnStage = Callable[[str, int, int], None]
"""Called with (what is done, pieces done, pieces in all)."""


def quantize_encoder(
    encoder_dir: Path,
    dataset: Dataset,
    out_dir: Path,
    calibration_frames: int = CALIBRATION_FRAMES,
    accept_ranking: bool = False,
    on_stage: OnStage | None = None,
) -> RankingAgreement:
    """Write an encoder artefact whose network computes in 8-bit integers; needs NNCF.

    Every frame is embedded by both networks, and by each asks for its nearest frames of other
    demonstrations. How alike the answers are is kept in the new artefact's provenance.

    Args:
        encoder_dir: an encoder artefact; stays as it is.
        dataset: at least 2 demonstrations of what the encoder will look at.
        out_dir: is made, and must not exist.
        calibration_frames: frames that value ranges are taken from.
        accept_ranking: write it though fewer than `MIN_OVERLAP` of the neighbours stay.
        on_stage: told what is done and how far it is.

    Raises:
        ConfigError: too few neighbours stay; bad `calibration_frames`.
        DatasetError: fewer than 2 demonstrations, or a truncated frame.
        ArtefactError: bad encoder, or `out_dir` exists.
        ModuleNotFoundError: NNCF is not installed.
    """
    if calibration_frames < 1:
        raise ConfigError(f"calibration frames: {calibration_frames}; allowed: 1 or more")
    # Before NNCF, which would import OpenVINO with its telemetry.
    import_openvino()
    import nncf

    def stage(what: str) -> Callable[[int, int], None]:
        return lambda done, total: on_stage(what, done, total) if on_stage else None

    manifest = read_manifest(encoder_dir)
    paths = [path for d in dataset.demonstrations for path in d.frame_paths]
    count = min(len(paths), calibration_frames)
    chosen = [paths[int(row)] for row in np.linspace(0, len(paths) - 1, count)]
    reading = stage("calibration frames")
    inputs = []
    for done, path in enumerate(chosen):
        image = manifest.preprocessing.resize(read_frame(path))
        inputs.append(manifest.preprocessing.normalise(image))
        reading(done + 1, count)
    model = read_network(Path(encoder_dir))
    nncf.set_log_level("ERROR")
    # Its own progress bars are no result.
    with contextlib.redirect_stdout(sys.stderr):
        quantized = nncf.quantize(model, nncf.Dataset(inputs), subset_size=count)
    ids = ActionMemory.of(dataset).demonstration_ids
    full = embed_dataset(dataset, load_for_datasets(encoder_dir), stage("embedding in fp32"))
    found: list[RankingAgreement] = []

    def verify(candidate: Path) -> dict[str, Any]:
        other = embed_dataset(dataset, load_for_datasets(candidate), stage("embedding in int8"))
        agreement = compare_rankings(full.embeddings, other.embeddings, ids)
        if agreement.overlap < MIN_OVERLAP and not accept_ranking:
            raise ConfigError(
                f"{out_dir}: in int8 {agreement}; allowed: {MIN_OVERLAP:.0%} of the nearest or "
                "more, or --accept-ranking"
            )
        found.append(agreement)
        return {
            "ranking": {
                "overlap": agreement.overlap,
                "first": agreement.first,
                "k": agreement.k,
                "frames": agreement.queries,
                "dataset": dataset.hash,
            }
        }

    provenance = {
        **manifest.provenance,
        "quantized_from": {"name": manifest.name, "hash": manifest.hash},
        "calibration_frames": count,
        "nncf": nncf.__version__,
    }
    write_encoder(
        quantized, f"{manifest.name}-int8", manifest.preprocessing, out_dir, provenance, verify
    )
    return found[0]
