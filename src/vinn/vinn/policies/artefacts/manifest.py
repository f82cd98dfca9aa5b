"""What a policy artefact says of itself: `manifest.json`, and the columns of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from vinn.demos.checksums import CHECKSUMS, write_checksums
from vinn.demos.types import ActionScale

SCHEMA_VERSION = 1
SHARED_FILES = ("frames.parquet", "thumbnails.bin")
"""That every kind keeps."""
INDEX_FOLDER = "index"

FRAME_COLUMNS = pa.schema(
    [
        pa.field("demonstration", pa.string(), nullable=False),
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("dx", pa.float32(), nullable=False),
        pa.field("dy", pa.float32(), nullable=False),
        pa.field("dz", pa.float32(), nullable=False),
        pa.field("gripper", pa.int8(), nullable=False),
        pa.field("thumbnail_offset", pa.int64(), nullable=False),
        pa.field("thumbnail_size", pa.int32(), nullable=False),
    ]
)


class PolicyManifest(BaseModel):
    """Contents of a policy's `manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    kind: str
    """Name of a `vinn.policies.kinds.kind.PolicyKind`."""
    name: str
    action_scale: ActionScale
    demonstration_count: int = Field(ge=1)
    frame_count: int = Field(ge=1)
    dataset_hash: str
    seed: int = 0
    """Of kinds that draw numbers."""
    vinn: dict[str, Any] | None = None
    """Settings of kinds "vinn" and "darp"; None for the other kinds."""
    parametric: dict[str, Any] | None = None
    """Settings of kinds "bc" and "ibc"; None for the other kinds."""
    settings: dict[str, Any] | None = None
    """Settings of any other kind; left out where there are none."""
    encoder_hash: str | None = None
    """Of the encoder of such a kind; left out where it has none."""
    files: dict[str, str]
    """SHA-256 of each data file."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Where the demonstrations came from and how settings were chosen."""

    def sections(self) -> dict[str, dict[str, Any] | None]:
        """The fields that hold settings; a kind fills one of them, or none."""
        return {"vinn": self.vinn, "parametric": self.parametric, "settings": self.settings}


def write_manifest(folder: Path, manifest: PolicyManifest) -> None:
    """Write manifest.json, and SHA256SUMS over every file that is there by now.

    What goes to an artefact last.

    Raises:
        OSError: the disk is full.
    """
    # Earlier versions do not know these two, and refuse what they do not know.
    absent = {key for key in ("settings", "encoder_hash") if getattr(manifest, key) is None}
    text = manifest.model_dump_json(indent=2, exclude=absent) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    write_checksums(folder, sealed_files(folder))


def sealed_files(folder: Path) -> set[str]:
    """The files of an artefact that SHA256SUMS lists: all but itself and those of the index, which
    `vinn policy index` makes anew and which has hashes of its own.
    """
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return {name for name in names - {CHECKSUMS} if not name.startswith(f"{INDEX_FOLDER}/")}
