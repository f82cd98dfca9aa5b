"""Regular files alone: a pipe would be waited for, a device may never end.

Everything that the product reads comes through here, or through `check_regular` where a library
wants to open the file itself. What a parser raises becomes one line by `parsing`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vinn.errors import VinnError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_LONGEST_REASON = 200


def check_regular(path: Path, error: type[VinnError]) -> int:
    """The size of a regular file [bytes]; nothing is opened, so nothing is waited for.

    Raises:
        VinnError (as `error`): missing, or a folder, pipe, socket or device.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be read: {reason_of(cause)}") from cause
    _refuse_special(path, found.st_mode, error)
    return found.st_size


def open_regular(path: Path, error: type[VinnError]) -> BinaryIO:
    """A regular file, open for reading.

    Raises:
        VinnError (as `error`): missing, unreadable, or a folder, pipe, socket or device.
    """
    check_regular(path, error)
    try:
        # Should it have become a pipe meanwhile, opening it does not wait either.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as cause:
        raise error(f"{path}: cannot be read: {reason_of(cause)}") from cause
    file = os.fdopen(descriptor, "rb")
    try:
        _refuse_special(path, os.fstat(descriptor).st_mode, error)
    except VinnError:
        file.close()
        raise
    return file


def read_bytes(path: Path, error: type[VinnError], limit_bytes: int | None = None) -> bytes:
    """The contents of a regular file.

    Raises:
        VinnError (as `error`): missing, unreadable, no regular file, or larger than the limit.
    """
    with open_regular(path, error) as file:
        if limit_bytes is not None and os.fstat(file.fileno()).st_size > limit_bytes:
            raise error(f"{path}: larger than {limit_bytes / 2**20:g} MiB; allowed: at most that")
        try:
            return file.read()
        except (OSError, MemoryError) as cause:
            raise error(f"{path}: cannot be read: {reason_of(cause)}") from cause


@contextmanager
def parsing(what: Path | str, error: type[VinnError], wanted: str) -> Iterator[None]:
    """Whatever a parser raises over `what` becomes one line that says it is not `wanted`.

    Parsers raise more than they document (a NumPy header is evaluated, a deep document exhausts
    the stack, a text that is no UTF-8 breaks the message about it), hence every exception.
    """
    try:
        yield
    except VinnError:
        raise
    except Exception as cause:
        raise error(f"{what}: not {wanted}, or damaged ({reason_of(cause)})") from cause


def reason_of(cause: BaseException) -> str:
    """What an exception says, in one short line."""
    if isinstance(cause, RecursionError):
        return "nested too deeply"
    if isinstance(cause, KeyError) and cause.args:
        return f"{cause.args[0]!r} is missing"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."


def _refuse_special(path: Path, mode: int, error: type[VinnError]) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "something else")
        raise error(f"{path}: is {kind}; allowed: a regular file")
