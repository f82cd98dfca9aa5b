"""Directories that appear whole or not at all, and hashes of files."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vinn.errors import VinnError


@contextmanager
def atomic_directory(target: Path, error: type[VinnError] = VinnError) -> Iterator[Path]:
    """Yield a temporary sibling of `target`; rename it to `target` when the block succeeds.

    The temporary name starts with a dot, so readers that skip hidden entries never see it. When
    the block raises, it is removed and nothing is left behind.

    Raises:
        VinnError (as `error`): `target` exists already, or its parent cannot be written.
    """
    if os.path.lexists(target):
        raise error(f"{target}: exists already; choose another name or remove it first")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as cause:
        raise error(f"{target}: cannot be written: {cause.strerror}") from cause
    try:
        # mkdtemp makes it private; what a user asked for gets the user's own default mode.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        yield temporary
        try:
            temporary.rename(target)
        except OSError as cause:
            raise error(f"{target}: cannot be written: {cause.strerror}") from cause
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's contents, read in pieces of 1 MiB.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
