"""sqlite3 files of rosbag2, closed or left behind by a recorder that was killed."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import zstandard

from vinn.errors import DatasetError
from vinn.reading.regular import check_regular, open_regular, parsing, reason_of

_HEAD_BYTES = 12
"""What is read of messages that nobody wants: encapsulation and stamp."""
_COPY_BYTES = 2**20
_MIN_FREE_BYTES = 512 * 2**20


class SqliteFile:
    """A file that is open for reading."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path = path
        self._database = database
        rows = self._rows("SELECT id, name, type, serialization_format FROM topics ORDER BY id")
        self.topics: dict[int, tuple[str, str, str]]
        with parsing(path, DatasetError, "a recording whose topics have numbers"):
            self.topics = {
                int(number): (str(name), str(kind), str(encoding))
                for number, name, kind, encoding in rows
            }
        """Name, type and serialisation of a topic, by its number."""
        self.definitions: dict[str, tuple[str, str]] = {}
        """Text and language of a type's definition, by its name; older files have none."""
        if any(self._rows("SELECT 1 FROM sqlite_master WHERE name = 'message_definitions'")):
            self.definitions = {
                str(kind): (str(text), str(language))
                for kind, language, text in self._rows(
                    "SELECT topic_type, encoding, encoded_message_definition "
                    "FROM message_definitions"
                )
            }

    def used_topics(self) -> set[int]:
        """Numbers of the topics that have messages."""
        with parsing(self._path, DatasetError, "a recording whose messages have topics"):
            return {int(n) for (n,) in self._rows("SELECT DISTINCT topic_id FROM messages")}

    def messages(self, topics: Container[str] | None) -> Iterator[tuple[int, int, bytes]]:
        """(topic's number, time of recording [ns], bytes) in the order of recording.

        Messages of topics that are not among `topics` are cut after their stamp.
        """
        wanted = [n for n, (name, _, _) in self.topics.items() if topics is None or name in topics]
        marks = ",".join("?" * len(wanted))
        query = (
            f"SELECT topic_id, timestamp, CASE WHEN topic_id IN ({marks}) THEN data "
            f"ELSE substr(data, 1, {_HEAD_BYTES}) END FROM messages ORDER BY id"
        )
        for number, stamp_ns, data in self._rows(query, wanted):
            kinds = isinstance(stamp_ns, int) and isinstance(data, bytes)
            if number not in self.topics or not kinds:
                raise DatasetError(f"{self._path}: damaged: a message without topic, time or data")
            yield number, stamp_ns, data

    def _rows(self, query: str, values: list[int] | None = None) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._database.execute(query, values or [])
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise DatasetError(f"{self._path}: damaged recording ({reason_of(error)})") from error


def merge_log(path: Path) -> bool:
    """Bring what a killed recorder left in its log into the file itself; False: there is none.

    Raises:
        DatasetError: damaged, or it cannot be written.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.is_file() or log.stat().st_size == 0:
        return False
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            database.execute("PRAGMA journal_mode=DELETE").fetchall()
    except sqlite3.Error as error:
        raise DatasetError(f"{path}: its log cannot be merged ({error})") from error
    return True


@contextlib.contextmanager
def open_sqlite(path: Path, compressed: bool = False) -> Iterator[SqliteFile]:
    """Open a file.

    Args:
        path: the file.
        compressed: as a whole, with zstd; it is unpacked where temporary files lie.

    Raises:
        DatasetError: not a recording, damaged, or no room to unpack it; names the file.
    """
    if compressed:
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / "unpacked.db3"
            _unpack(path, unpacked)
            with _opened(unpacked, path) as file:
                yield file
        return
    with _opened(path, path) as file:
        yield file


@contextlib.contextmanager
def _opened(path: Path, named: Path) -> Iterator[SqliteFile]:
    database = _connect(path, named)
    try:
        yield SqliteFile(named, database)
    finally:
        database.close()


def _connect(path: Path, named: Path) -> sqlite3.Connection:
    # The log of a recorder that was killed is read with mode=ro; that needs a writable folder.
    check_regular(path, DatasetError)
    problem = ""
    for how in ("mode=ro", "immutable=1"):
        database = None
        try:
            database = sqlite3.connect(f"file:{quote(str(path.resolve()))}?{how}", uri=True)
            database.execute("SELECT count(*) FROM topics").fetchone()
        except sqlite3.Error as error:
            problem = str(error)
            if database is not None:
                database.close()
        else:
            return database
    raise DatasetError(f"{named}: not a rosbag2 recording ({problem})")


def _unpack(source: Path, target: Path) -> None:
    try:
        with open_regular(source, DatasetError) as packed, target.open("wb") as out:
            reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
            while data := reader.read(_COPY_BYTES):
                if shutil.disk_usage(target.parent).free < _MIN_FREE_BYTES:
                    raise DatasetError(f"{source}: no room to unpack it in {target.parent}")
                out.write(data)
    except zstandard.ZstdError as error:
        raise DatasetError(f"{source}: damaged: zstd ({error})") from error
    except OSError as error:
        raise DatasetError(f"{source}: cannot be unpacked ({error.strerror})") from error
