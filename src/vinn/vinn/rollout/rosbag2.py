"""Directories made by `ros2 bag record`: `metadata.yaml` beside MCAP or sqlite3 files."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import TypesysError, get_types_from_msg
from rosbags.typesys.store import Typestore

from vinn.errors import DatasetError
from vinn.rollout.messages import typestore

_DAMAGE = (ReaderError, SerdeError, sqlite3.Error, ValueError, LookupError, struct.error)


def is_rosbag2_directory(path: Path) -> bool:
    """Whether `path` is a directory with rosbag2's `metadata.yaml`."""
    return (path / "metadata.yaml").is_file()


def rosbag2_messages(
    path: Path, topics: Container[str] | None = None
) -> Iterator[tuple[str, str, int, Any]]:
    """(topic, type name, time [ns], message) in the order of recording, of all or some topics.

    Topics of types that neither the bag nor this library defines are left out.

    Raises:
        DatasetError: damaged; names the directory.
    """
    with _open(path) as reader:
        store = typestore()
        wanted = [
            connection
            for connection in reader.connections
            if (topics is None or connection.topic in topics) and _known(store, connection)
        ]
        try:
            for connection, stamp_ns, data in reader.messages(connections=wanted):
                message = store.deserialize_cdr(bytes(data), connection.msgtype)
                yield connection.topic, connection.msgtype, stamp_ns, message
        except _DAMAGE as error:
            raise DatasetError(f"{path}: damaged recording ({error})") from error


def rosbag2_counts(path: Path) -> tuple[dict[str, int], int, int]:
    """Messages by topic, and the first and last time [ns].

    Raises:
        DatasetError: damaged; names the directory.
    """
    with _open(path) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        return counts, reader.start_time, reader.end_time


def _known(store: Typestore, connection: Any) -> bool:
    """Whether messages of a connection can be read; takes its definition from the bag."""
    if connection.msgtype in store.types:
        return True
    if connection.msgdef.format is not MessageDefinitionFormat.MSG:
        return False
    try:
        store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
    except (TypesysError, ValueError, LookupError, SyntaxError):
        return False
    return True


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Reader]:
    try:
        reader = Reader(path)
        reader.open()
    except (*_DAMAGE, OSError) as error:
        reason = " ".join(str(error).split())  # a YAML parser's message has several lines
        raise DatasetError(f"{path}: not a rosbag2 recording ({reason})") from error
    try:
        yield reader
    finally:
        reader.close()
