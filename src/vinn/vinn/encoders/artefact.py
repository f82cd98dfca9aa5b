"""The encoder artefact: a folder with the network and all that makes embeddings comparable.

manifest.json   EncoderManifest
model.xml       OpenVINO IR, input (N, 3, height, width) float32, output (N, dimension)
model.bin       its weights
model.onnx      the same network for ONNX Runtime (optional)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from vinn.demos.files import atomic_directory, sha256_file
from vinn.encoders.openvino_runtime import import_openvino
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactError, ArtefactMismatchError
from vinn.reading.documents import read_model

SCHEMA_VERSION = 1
ManifestT = TypeVar("ManifestT", bound=BaseModel)
MODEL_FILES = ("model.xml", "model.bin")
ONNX_FILE = "model.onnx"


class EncoderManifest(BaseModel):
    """Contents of an encoder's `manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    dimension: int = Field(gt=0)
    preprocessing: Preprocessing
    files: dict[str, str]
    """SHA-256 of model.xml and model.bin, or of what a network of its own keeps."""
    network: str | None = None
    """What computes it, where it is a network of its own (`vinn.encoders.own`); else left out."""
    portable_files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of model.onnx where there is one. It holds the same network, so it does not count
    for the identity."""
    hash: str
    """SHA-256 over name, dimension, preprocessing and files: the encoder's identity."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Weights and their origin, versions, difference to the original network; not hashed."""

    def computed_hash(self) -> str:
        """The hash as it follows from the other fields."""
        fields = {"name", "dimension", "preprocessing", "files"}
        if self.network is not None:
            fields.add("network")
        identity = self.model_dump(mode="json", include=fields)
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def write_encoder(
    model: Any,
    name: str,
    preprocessing: Preprocessing,
    out_dir: Path,
    provenance: dict[str, Any] | None = None,
    verify: Callable[[Path], dict[str, Any]] | None = None,
    write_onnx: Callable[[Path], None] | None = None,
    half: bool = False,
) -> Path:
    """Save an OpenVINO model as an encoder artefact.

    Args:
        model: `openvino.Model`, one input (N, 3, height, width), one output (N, D).
        name: of the encoder, e.g. "efficientnet-lite0".
        preprocessing: must fit the model's input.
        out_dir: is made, and must not exist.
        provenance: where the weights come from.
        verify: called with the complete artefact before it appears at `out_dir`; raises if it is
            not good, else returns what it measured, which joins the provenance.
        write_onnx: writes the same network to the ONNX file it is given; None: there is none.
        half: keep weights in float16 instead of float32.

    Raises:
        ArtefactError: `out_dir` exists, or the model's shape does not fit.
    """
    openvino = import_openvino()
    out_dir = Path(out_dir)
    output = model.output(0).get_partial_shape()
    if output.rank.is_dynamic or len(output) != 2 or output[1].is_dynamic:
        raise ArtefactError(f"{out_dir}: the network's output must be (N, D), it is {output}")
    check_input_shape(model, preprocessing, str(out_dir))
    # OpenVINO numbers models, operations and outputs through the life of a process; the same
    # network must hash alike.
    model.set_friendly_name(name)
    model.input(0).get_tensor().set_names({"image"})
    model.output(0).get_tensor().set_names({"embedding"})
    for number, operation in enumerate(model.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    with atomic_directory(out_dir, ArtefactError) as folder:
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=half)
        portable: dict[str, str] = {}
        if write_onnx is not None:
            write_onnx(folder / ONNX_FILE)
            portable = {ONNX_FILE: sha256_file(folder / ONNX_FILE)}
        manifest = EncoderManifest(
            name=name,
            dimension=output[1].get_length(),
            preprocessing=preprocessing,
            files={file: sha256_file(folder / file) for file in MODEL_FILES},
            portable_files=portable,
            hash="",
            provenance=dict(provenance or {}),
        )
        write_manifest(folder, manifest)
        if verify is not None:
            manifest.provenance.update(verify(folder))
            write_manifest(folder, manifest)
    return out_dir


def write_manifest(folder: Path, manifest: EncoderManifest) -> None:
    """Write manifest.json with the hash that follows from the other fields."""
    manifest = manifest.model_copy(update={"hash": manifest.computed_hash()})
    # Earlier versions do not know it, and refuse what they do not know.
    absent = {"network"} if manifest.network is None else None
    text = manifest.model_dump_json(indent=2, exclude=absent) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")


def read_manifest(directory: Path) -> EncoderManifest:
    """Read an encoder's manifest and hold its hashes against its contents and files.

    Raises:
        ArtefactError: missing, malformed, or of another schema version.
        ArtefactMismatchError: a file or the manifest itself is not what was hashed.
    """
    directory = Path(directory)
    path = directory / "manifest.json"
    manifest = parse_manifest(path, EncoderManifest)
    if manifest.schema_version != SCHEMA_VERSION:
        raise ArtefactError(
            f"{path}: schema version {manifest.schema_version}, this version reads {SCHEMA_VERSION}"
        )
    if manifest.hash != manifest.computed_hash():
        raise ArtefactMismatchError(
            f"{path}: hash {manifest.hash[:12]} but its contents hash to "
            f"{manifest.computed_hash()[:12]}"
        )
    if manifest.network is None and set(manifest.files) != set(MODEL_FILES):
        raise ArtefactError(f"{path}: files must be {MODEL_FILES}, found {sorted(manifest.files)}")
    for name in manifest.files:
        if name != Path(name).name or name == "..":
            raise ArtefactError(f"{path}: files: {name!r}; allowed: a name in this folder")
    if not set(manifest.portable_files) <= {ONNX_FILE}:
        raise ArtefactError(
            f"{path}: portable_files may be {ONNX_FILE}, found {sorted(manifest.portable_files)}"
        )
    check_files(directory, {**manifest.files, **manifest.portable_files})
    return manifest


def parse_manifest(path: Path, model: type[ManifestT]) -> ManifestT:
    """Read a JSON manifest as a pydantic model.

    Raises:
        ArtefactError: missing or malformed; the message names file and field.
    """
    if not os.path.lexists(path):
        raise ArtefactError(f"{path}: missing; is this an artefact's folder?")
    return read_model(path, model, ArtefactError)


def check_files(directory: Path, expected_sha256: Mapping[str, str]) -> None:
    """Hold files against their recorded SHA-256.

    Raises:
        ArtefactError: a file is missing.
        ArtefactMismatchError: a file has changed or is truncated; both hashes are named.
    """
    for name, expected in expected_sha256.items():
        path = directory / name
        found = sha256_file(path, ArtefactError)
        if found != expected:
            raise ArtefactMismatchError(
                f"{path}: sha256 {found[:12]} but the manifest has {expected[:12]} "
                f"(truncated or changed, {path.stat().st_size} bytes)"
            )


def check_input_shape(model: Any, preprocessing: Preprocessing, what: str) -> None:
    """Refuse a network whose input is not what the preprocessing makes.

    Raises:
        ArtefactMismatchError: both sizes are named.
    """
    shape = model.input(0).get_partial_shape()
    openvino = import_openvino()
    wanted = openvino.PartialShape([-1, 3, preprocessing.height_px, preprocessing.width_px])
    if not shape.compatible(wanted):
        raise ArtefactMismatchError(
            f"{what}: the network's input is {shape}, preprocessing makes {wanted}"
        )
