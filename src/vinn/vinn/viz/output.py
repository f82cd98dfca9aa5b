"""Text files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

from vinn.demos.files import atomic_file


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text under a temporary name, rename it to `path`, and return `path`.

    Missing folders are made.

    Raises:
        VinnError: the folder cannot be written, or the disk is full; `path` is as before.
    """
    with atomic_file(path) as file:
        file.write(text.encode())
    return path
