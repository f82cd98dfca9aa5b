"""`SHA256SUMS`: the hashes of a folder's files, as `sha256sum -c SHA256SUMS` reads them.

A folder without one was made before there were any, or somebody changed it on purpose and removed
the list; it opens all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vinn.demos.files import sha256_bytes, sha256_file
from vinn.errors import VinnError
from vinn.reading.documents import read_text

CHECKSUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n\0]+)")
_LIMIT_BYTES = 2**22


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """List the hashes of some files of a folder; names are relative to it, with slashes."""
    lines = [f"{sha256_file(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def read_checksums(folder: Path, error: type[VinnError]) -> dict[str, str] | None:
    """The listed hashes by name; None: the folder has no list.

    Raises:
        VinnError (as `error`): the list is malformed.
    """
    path = folder / CHECKSUMS
    if not path.exists():
        return None
    lines = read_text(path, error, _LIMIT_BYTES).removesuffix("\n").split("\n")
    found = [_LINE.fullmatch(line) for line in lines]
    listed = {match[2]: match[1] for match in found if match is not None}
    if len(listed) != len(lines):
        raise error(f"{path}: not a list of SHA-256 sums and names, each name once")
    return listed


def check_listed(
    data: bytes, path: Path, listed: dict[str, str] | None, error: type[VinnError]
) -> None:
    """Hold the contents of a file against its folder's list, if there is one.

    Raises:
        VinnError (as `error`): they have changed, or the list does not have the file.
    """
    if listed is None:
        return
    expected = listed.get(path.name)
    if expected is None:
        raise error(f"{path.parent / CHECKSUMS}: lacks {path.name}")
    found = sha256_bytes(data)
    if found != expected:
        raise error(
            f"{path}: changed since it was written: sha256 {found[:12]}, {CHECKSUMS} has "
            f"{expected[:12]} (changed on purpose? then remove {path.parent / CHECKSUMS})"
        )
