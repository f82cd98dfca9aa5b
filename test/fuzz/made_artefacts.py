"""Sound demonstrations, policies and encoders, and what reads them."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tiny_encoder import square_image, tiny_embedding, write_square_demos, write_tiny_encoder
from vinn.demos.checksums import CHECKSUMS, write_checksums
from vinn.demos.files import sha256_file
from vinn.demos.frames import encode_jpeg
from vinn.demos.store import Dataset, validate_dataset
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactError, DatasetError
from vinn.ingest.lenses.lens import Lens
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.manifest import sealed_files
from vinn.policies.build import build_policy
from vinn.policies.features import Features
from vinn.policies.kinds.bc import KIND as CLONED
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.mlp import Mlp
from vinn.policies.novelty import NoveltyMeasure
from vinn.reading.documents import read_json
from vinn.retrieval.index import IndexKind, build_index
from vinn.retrieval.metric import pca_whitening

CONFIG = Path(__file__).parents[2] / "config"
RECORDING = "s.mcap"
LENS = Lens.pinhole(64, 48, 60)
JPEG = encode_jpeg(square_image(0.3, 0.6))
SECOND_NS = 10**9


def make_demos(root: Path) -> Dataset:
    return write_square_demos(root / "demos", 2)


def old_demos(root: Path) -> None:
    make_demos(root)
    for path in root.rglob(CHECKSUMS):
        path.unlink()


def read_demos(root: Path) -> object:
    report = validate_dataset(root / "demos")
    if not report.ok:
        raise DatasetError(report.bad[0])
    return [
        (d.meta, d.camera_delta, d.gripper) for d in Dataset.open(root / "demos").demonstrations
    ]


# --- policies and encoders -------------------------------------------------------------------


def make_policy(root: Path, **options: Any) -> None:
    dataset = write_square_demos(root / "demos", 3)
    write_tiny_encoder(root / "encoder")
    build_policy(dataset, root / "encoder", root / "policy", k=3, **options)
    shutil.rmtree(root / "demos")
    shutil.rmtree(root / "encoder")


def rich_policy(root: Path) -> None:
    """With a metric, a subspace and an index: every file that there may be."""
    images = [square_image(x, y) for x in np.linspace(0, 1, 5) for y in np.linspace(0, 1, 5)]
    metric = pca_whitening(np.stack([tiny_embedding(image) for image in images]), 8)
    make_policy(
        root,
        features=Features(1, metric),
        metric="pca-whitening",
        novelty=NoveltyMeasure.SUBSPACE,
    )
    artefact = open_artefact(root / "policy")
    build_index(
        root / "policy" / "index",
        artefact.embeddings,
        artefact.memory.origin_ids,
        artefact.manifest.files["embeddings.npy"],
        IndexKind.PROJECTED,
    )


def make_control(root: Path) -> None:
    OPEN_LOOP.build(BuildRequest(write_square_demos(root / "demos", 2), root / "policy"))
    shutil.rmtree(root / "demos")


def cloned(root: Path) -> None:
    rng = np.random.default_rng(0)
    dataset = write_square_demos(root / "demos", 2)
    write_tiny_encoder(root / "encoder")

    def head(outputs: int) -> Mlp:
        weights = [rng.normal(size=(8, 48)), rng.normal(size=(outputs, 8))]
        return Mlp(
            tuple(w.astype(np.float32) for w in weights),
            (np.zeros(8, np.float32), np.zeros(outputs, np.float32)),
        )

    heads = {"action": head(3), "gripper": head(4)}
    CLONED.build_trained(dataset, root / "encoder", heads, root / "policy", 0.05)
    shutil.rmtree(root / "demos")
    shutil.rmtree(root / "encoder")


def use_policy(root: Path) -> object:
    """What a robot would do with it."""
    artefact = open_artefact(root / "policy")
    policy = load_policy(root / "policy")
    said = [policy.predict(square_image(x, 0.4)) for x in (0.2, 0.8)]
    return (
        artefact.manifest.model_dump_json(),
        [(s.camera_delta, s.gripper_probabilities, s.novelty) for s in said],
        artefact.memory.camera_delta,
        artefact.memory.gripper,
        [artefact.thumbnail(row) for row in range(len(artefact.memory))],
    )


def use_with_hashes_anew(root: Path) -> object:
    """The same where whoever changed a file made all hashes anew: the parsers are on their own."""
    policy = root / "policy"
    for name in ("encoder", "index"):
        with contextlib.suppress(Exception):
            hashes_anew(policy / name)
    with contextlib.suppress(Exception):
        hashes_anew(policy)
        write_checksums(policy, sealed_files(policy))
    return use_policy(root)


def hashes_anew(folder: Path) -> None:
    path = folder / ("index.json" if folder.name == "index" else "manifest.json")
    manifest = read_json(path, ArtefactError)
    manifest["files"] = {name: sha256_file(folder / name) for name in manifest["files"]}
    path.write_text(json.dumps(manifest))


def make_encoder(root: Path) -> None:
    write_tiny_encoder(root / "encoder")


def use_encoder(root: Path) -> object:
    return load_encoder(root / "encoder").embed([square_image(0.2, 0.2)])
