"""What is written to an artefact last: what it is, and a list of hashes over all of it."""

from __future__ import annotations

from pathlib import Path

from vinn.demos.checksums import CHECKSUMS, write_checksums
from vinn.policies.artefacts.opening import INDEX_FOLDER, PolicyManifest


def write_manifest(folder: Path, manifest: PolicyManifest) -> None:
    """Write manifest.json, and SHA256SUMS over every file that is there by now.

    Raises:
        OSError: the disk is full.
    """
    text = manifest.model_dump_json(indent=2) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    write_checksums(folder, sealed_files(folder))


def sealed_files(folder: Path) -> set[str]:
    """The files of an artefact that SHA256SUMS lists: all but itself and those of the index, which
    `vinn policy index` makes anew and which has hashes of its own.
    """
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return {name for name in names - {CHECKSUMS} if not name.startswith(f"{INDEX_FOLDER}/")}
