"""Folders and files that appear whole or not at all, and hashes of files.

What is being written has a temporary name beside its goal, `.NAME.xxxxxxxx.partial`, and is locked
by the process that writes it. A lock ends with its process, so that what a killed process left is
told from what another one is writing, and the next one that writes to that folder removes it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vinn.errors import VinnError
from vinn.reading.regular import open_regular, reason_of

_SUFFIX = ".partial"
_LEFT_OVER = re.compile(r"\..+\.[a-z0-9_]{8}\.partial")
_LONGEST_PREFIX = 40
"""Characters of up to 4 bytes; a file system allows 255 bytes for all of a name."""
_ALMOST_FULL_BYTES = 2**20
_CANNOT_WRITE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
}
"""Errors of the system that speak of where is written, and not of what is read."""


@contextmanager
def atomic_directory(target: Path, error: type[VinnError] = VinnError) -> Iterator[Path]:
    """Yield a temporary sibling of `target`; rename it to `target` when the block succeeds.

    The temporary name starts with a dot, so readers that skip hidden entries never see it. When
    the block raises, it is removed and nothing is left behind.

    Raises:
        VinnError (as `error`): `target` exists already, its parent cannot be written, or the disk
            is full.
    """
    if os.path.lexists(target):
        raise error(f"{target}: exists already; choose another name or remove it first")
    with cannot_be_written(target, error):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_left_overs(target.parent)
        temporary, lock = _locked_directory(target)
    try:
        with cannot_be_written(target, error):
            # mkdtemp makes it private; what a user asked for gets the user's own default mode.
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            temporary.rename(target)
    except VinnError as cause:
        shutil.rmtree(temporary, ignore_errors=True)
        message = str(cause)
        if str(temporary) not in message:
            raise
        # The user never sees the temporary folder.
        raise type(cause)(message.replace(str(temporary), str(target))) from cause
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(lock)


@contextmanager
def atomic_file(target: Path, error: type[VinnError] = VinnError) -> Iterator[BinaryIO]:
    """Yield a temporary file, open for writing; it takes the place of `target` in the end.

    When the block raises, it is removed and `target` is as it was. Missing folders are made.

    Raises:
        VinnError (as `error`): it cannot be written, or the disk is full.
    """
    with atomic_path(target, error) as temporary, temporary.open("r+b") as file:
        yield file


@contextmanager
def atomic_path(target: Path, error: type[VinnError] = VinnError) -> Iterator[Path]:
    """`atomic_file` for libraries that open files themselves: yields the temporary file's name.

    Raises:
        VinnError (as `error`): it cannot be written, or the disk is full.
    """
    with cannot_be_written(target, error):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_left_overs(target.parent)
        temporary, handle = _locked_file(target)
        try:
            temporary.chmod(0o666 & ~_umask())
            yield temporary
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)


def remove_left_overs(folder: Path) -> list[Path]:
    """Remove what killed processes left of `atomic_directory` and `atomic_file` in a folder.

    What somebody is writing is locked and stays; so does what cannot be locked, or removed.

    Returns:
        What was removed.
    """
    found: list[Path] = []
    with suppress(OSError), os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if _LEFT_OVER.fullmatch(entry.name)]
    return [path for path in found if _remove_unlocked(path)]


@contextmanager
def cannot_be_written(target: Path, error: type[VinnError]) -> Iterator[None]:
    """What goes wrong because `target` cannot be written becomes one line that names it.

    Libraries say a full disk in words of their own (NumPy that it wrote too little, FAISS and
    OpenVINO a RuntimeError), so whatever is raised while the disk is full is put down to that.
    """
    try:
        yield
    except VinnError:
        raise
    except Exception as cause:
        reason = _why_not_written(target, cause)
        if reason is None:
            raise
        raise error(f"{target}: cannot be written: {reason}") from cause


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path, error: type[VinnError] = VinnError) -> str:
    """Hexadecimal SHA-256 of a regular file's contents, read in pieces of 1 MiB.

    Raises:
        VinnError (as `error`): missing, unreadable, or no regular file.
    """
    digest = hashlib.sha256()
    with open_regular(path, error) as file:
        try:
            while piece := file.read(1 << 20):
                digest.update(piece)
        except OSError as cause:
            raise error(f"{path}: cannot be read: {reason_of(cause)}") from cause
    return digest.hexdigest()


def _prefix(target: Path) -> str:
    return f".{target.name[:_LONGEST_PREFIX]}."


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _locked_directory(target: Path) -> tuple[Path, int]:
    """A new temporary folder, and the open descriptor that holds its lock."""
    while True:
        path = Path(tempfile.mkdtemp(_SUFFIX, _prefix(target), target.parent))
        try:
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if _locked(lock, path):
            return path, lock


def _locked_file(target: Path) -> tuple[Path, int]:
    """A new temporary file, and its open descriptor, which holds its lock."""
    while True:
        handle, name = tempfile.mkstemp(_SUFFIX, _prefix(target), target.parent)
        if _locked(handle, Path(name)):
            return Path(name), handle


def _locked(descriptor: int, path: Path) -> bool:
    """Lock what is open; False, and closed, if it was taken for a left-over in the moment before.

    A file system without locks does without: what is left there, stays.
    """
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if path.exists():
        return True
    os.close(descriptor)
    return False


def _remove_unlocked(path: Path) -> bool:
    """Remove a folder or file unless a process holds its lock; True if it is gone."""
    if path.is_symlink():
        return False
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _why_not_written(target: Path, cause: Exception) -> str | None:
    """Why a write failed; None if the exception is about something else."""
    if isinstance(cause, OSError) and cause.errno in _CANNOT_WRITE:
        return cause.strerror
    if isinstance(cause, shutil.Error):  # a copy of a folder: (from, to, reason) of each file
        return reason_of(cause) if not cause.args else str(cause.args[0][0][2])
    if _disk_is_full(target):
        return "No space left on device"
    if isinstance(cause, OSError) and cause.errno is None:  # NumPy's, without a number
        return f"it takes no more ({reason_of(cause)})"
    return None


def _disk_is_full(target: Path) -> bool:
    there = next(folder for folder in target.absolute().parents if folder.exists())
    return shutil.disk_usage(there).free < _ALMOST_FULL_BYTES
