"""A package that is installed in a folder of its own, with entry points, without pip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, code: str, points: Mapping[str, Mapping[str, str]]) -> Path:
    """Write module `name` and its metadata to `folder`, which is to be on the path.

    Args:
        folder: is made where it is not there.
        name: of the module and of the distribution.
        code: of the module.
        points: by group, what is behind each name: "module:attribute".
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(code)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, entries in points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder
