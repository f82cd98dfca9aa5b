"""What counts as a recording, and which files it consists of: decided here for everyone.

A recording is an MCAP or sqlite3 file, bare or compressed with zstd, or a directory of such as
`ros2 bag record` makes them: whole, split, or left behind by a process that was killed before it
wrote `metadata.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from vinn.errors import DatasetError
from vinn.reading.documents import parse_yaml, read_text
from vinn.reading.regular import open_regular, parsing

METADATA = "metadata.yaml"
ALLOWED = "*.mcap, *.db3, the same with .zstd, or a directory of `ros2 bag record`"

_MAGIC = {
    b"\x89MCAP0\r\n": "MCAP",
    b"SQLite format 3\0": "sqlite3",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"#ROSBAG V": "ROS 1 bag",
}
_NAME = re.compile(r"(?P<stem>.+?)(?P<kind>\.mcap|\.mcap\.partial|\.db3)(?P<zstd>\.zstd)?")
_MAX_METADATA_BYTES = 2 * 2**20


class Storage(Enum):
    """How messages lie in a file."""

    MCAP = "mcap"
    SQLITE3 = "sqlite3"


@dataclass(frozen=True)
class RecordingFile:
    """One file of a recording."""

    path: Path
    storage: Storage
    compressed: bool
    """As a whole, with zstd."""


@dataclass(frozen=True)
class RecordingFiles:
    """A recording on disk.

    Attributes:
        path: as it was named.
        files: in the order of recording.
        closed: whether its writer came to say that it had ended; a single file says so itself.
    """

    path: Path
    files: tuple[RecordingFile, ...]
    closed: bool


def is_recording(path: Path) -> bool:
    """Whether what lies in a folder is a recording, by its name; not what lies in a recording."""
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return (path / METADATA).is_file() or bool(_own_files(path))
    return _by_name(path) is not None


def recording_name(path: Path) -> str:
    """What a recording is called: its directory's name, or its file's without the endings."""
    return path.name if path.is_dir() else _stem(path)


def recording_files(path: Path) -> RecordingFiles:
    """The files of a recording.

    Raises:
        DatasetError: missing, or no recording; names path, what was found and what is allowed.
    """
    if path.is_dir():
        return _of_directory(path)
    return RecordingFiles(path, (_of_file(path),), closed=True)


def _of_file(path: Path) -> RecordingFile:
    if not path.exists():
        raise DatasetError(f"{path}: no such recording")
    with open_regular(path, DatasetError) as file:
        head = file.read(16)
    found = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if found == "MCAP":
        return RecordingFile(path, Storage.MCAP, compressed=False)
    if found == "sqlite3":
        return RecordingFile(path, Storage.SQLITE3, compressed=False)
    named = _by_name(path)
    if found == "zstd" and named is not None:
        return RecordingFile(path, named.storage, compressed=True)
    if len(head) < 8:
        raise DatasetError(f"{path}: not a recording (empty or too short)")
    raise DatasetError(
        f"{path}: not a recording ({found or 'unknown contents'}); allowed: {ALLOWED}"
    )


def _of_directory(path: Path) -> RecordingFiles:
    if (path / METADATA).is_file():
        names = _listed(path / METADATA)
        files = [_listed_file(path, name) for name in names]
        if files:
            return RecordingFiles(path, tuple(files), closed=True)
    inside = _own_files(path) or _numbered(_files_in(path))
    if len(inside) > 1 and not _own_files(path) and not _is_sequence(inside):
        raise DatasetError(
            f"{path}: a folder of {len(inside)} recordings; allowed: one of them, e.g. "
            f"{inside[0].path.name}"
        )
    if not inside:
        raise DatasetError(f"{path}: a directory without a recording; allowed: {ALLOWED}")
    return RecordingFiles(path, tuple(inside), closed=False)


def _listed(metadata: Path) -> list[str]:
    """File names in the order in which `metadata.yaml` lists them."""
    text = read_text(metadata, DatasetError, _MAX_METADATA_BYTES)
    content = parse_yaml(text, metadata, DatasetError)
    with parsing(metadata, DatasetError, "the metadata of a rosbag2 recording"):
        names = content["rosbag2_bagfile_information"]["relative_file_paths"]
        return [Path(name).name for name in names]


def _listed_file(folder: Path, name: str) -> RecordingFile:
    for path in (folder / name, folder / f"{name}.zstd"):
        found = _by_name(path)
        if found is not None and path.is_file():
            return found
    known = _by_name(folder / name) is not None
    problem = "which is not there" if known else f"which is not readable; allowed: {ALLOWED}"
    raise DatasetError(f"{folder}: its {METADATA} names {name!r}, {problem}")


def _own_files(folder: Path) -> list[RecordingFile]:
    """Files called after their folder, as rosbag2 calls them: one recording."""
    own = re.compile(re.escape(folder.name) + r"(_\d+)?")
    return _numbered(file for file in _files_in(folder) if own.fullmatch(_stem(file.path)))


def _files_in(folder: Path) -> list[RecordingFile]:
    try:
        names = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read ({error.strerror})") from error
    found = (_by_name(path) for path in names if not path.name.startswith(".") and path.is_file())
    return [file for file in found if file is not None]


def _numbered(files: Iterable[RecordingFile]) -> list[RecordingFile]:
    """In the order of the numbers that rosbag2 gives: _2 comes before _10."""
    return sorted(files, key=lambda file: (_number(file.path), file.path.name))


def _is_sequence(files: list[RecordingFile]) -> bool:
    """Whether files are the parts 0, 1, 2 ... of one split recording."""
    prefixes = {_stem(file.path).rpartition("_")[0] for file in files}
    numbers = [_number(file.path) for file in files]
    return len(prefixes) == 1 and numbers == list(range(len(files)))


def _number(path: Path) -> int:
    number = _stem(path).rpartition("_")[2]
    return int(number) if number.isdecimal() and len(number) < 10 else -1


def _stem(path: Path) -> str:
    found = _NAME.fullmatch(path.name)
    return found["stem"] if found else path.name


def _by_name(path: Path) -> RecordingFile | None:
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    storage = Storage.SQLITE3 if found["kind"] == ".db3" else Storage.MCAP
    return RecordingFile(path, storage, compressed=found["zstd"] is not None)
