"""Messages as they are stored, the same from every kind of recording.

Their time is the receiver's: when they were recorded. Newer ROS versions store the sender's as
well, which is another clock where there are several machines.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Channel, Message, Metadata, Schema

from vinn.errors import DatasetError
from vinn.rollout.recording_files import RecordingFile, Storage, recording_files
from vinn.rollout.storage import zstd
from vinn.rollout.storage.mcap_file import mcap_channels, mcap_records, scan_channels
from vinn.rollout.storage.sqlite_file import SqliteFile, open_sqlite

_LARGEST_MESSAGE = 256 * 2**20


@dataclass(frozen=True)
class StoredType:
    """A message type as a recording has it."""

    name: str
    """E.g. sensor_msgs/msg/Image."""
    definition: str
    """With all it depends on; empty: the recording does not say."""
    language: str
    """Of the definition: ros2msg or ros2idl."""
    encoding: str
    """Of the messages: cdr."""


@dataclass(frozen=True)
class StoredMessage:
    """One message; of topics that were not asked for, `data` may be only the beginning."""

    topic: str
    type: StoredType
    recorded_ns: int
    """When it was recorded [ns since the epoch], by the clock of the machine that recorded."""
    data: bytes


StoredRecord = StoredMessage | Metadata


def stored_records(path: Path, topics: Container[str] | None = None) -> Iterator[StoredRecord]:
    """All messages and MCAP metadata in the order in which they were written.

    Args:
        path: any recording.
        topics: whose messages are wanted whole; None: all.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    for file in recording_files(path).files:
        if file.storage is Storage.MCAP:
            yield from _of_mcap(file)
        else:
            with open_sqlite(file.path, file.compressed) as database:
                yield from _of_sqlite(file.path, database, topics)


def stored_topics(path: Path) -> dict[str, StoredType]:
    """The topics that have messages, in the order of their names, with their types.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    found: dict[str, StoredType] = {}
    for file in recording_files(path).files:
        for topic, kind in _topics_of(file):
            found.setdefault(topic, kind)
    return dict(sorted(found.items()))


def recorded_types(path: Path) -> dict[str, str]:
    """The topics that have messages, with the names of their types.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    return {topic: kind.name for topic, kind in stored_topics(path).items()}


def _topics_of(file: RecordingFile) -> list[tuple[str, StoredType]]:
    if file.storage is Storage.MCAP:
        channels = (
            scan_channels(mcap_records(file.path, compressed=True))
            if file.compressed
            else mcap_channels(file.path)
        )
        return [(channel.topic, _type_of(channel, schema)) for channel, schema in channels]
    with open_sqlite(file.path, file.compressed) as database:
        types = _sqlite_types(database)
        return [types[number] for number in sorted(database.used_topics()) if number in types]


def _of_mcap(file: RecordingFile) -> Iterator[StoredRecord]:
    schemas: dict[int, Schema] = {}
    channels: dict[int, tuple[str, StoredType]] = {}
    for record in mcap_records(file.path, file.compressed):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            if record.schema_id and record.schema_id not in schemas:
                raise DatasetError(f"{file.path}: damaged: {record.topic} without definition")
            channels[record.id] = record.topic, _type_of(record, schemas.get(record.schema_id))
        elif isinstance(record, Message):
            if record.channel_id not in channels:
                raise DatasetError(f"{file.path}: damaged: a message without channel")
            topic, kind = channels[record.channel_id]
            yield StoredMessage(topic, kind, record.log_time, _plain(record.data, file.path))
        elif isinstance(record, Metadata):
            yield record


def _of_sqlite(
    path: Path, database: SqliteFile, topics: Container[str] | None
) -> Iterator[StoredMessage]:
    types = _sqlite_types(database)
    for number, recorded_ns, data in database.messages(topics):
        topic, kind = types[number]
        whole = topics is None or topic in topics
        yield StoredMessage(topic, kind, recorded_ns, _plain(data, path) if whole else data)


def _sqlite_types(database: SqliteFile) -> dict[int, tuple[str, StoredType]]:
    return {
        number: (topic, StoredType(kind, *database.definitions.get(kind, ("", "")), encoding))
        for number, (topic, kind, encoding) in database.topics.items()
    }


def _type_of(channel: Channel, schema: Schema | None) -> StoredType:
    if schema is None:
        return StoredType("", "", "", channel.message_encoding)
    text = schema.data.decode(errors="replace")
    return StoredType(schema.name, text, schema.encoding, channel.message_encoding)


def _plain(data: bytes, where: object) -> bytes:
    """A message without the compression that rosbag2 can put around each one."""
    if not data.startswith(zstd.MAGIC):
        return data
    try:
        return zstd.decompressed(data, _LARGEST_MESSAGE)
    except ValueError as error:
        raise DatasetError(f"{where}: damaged: a message: {error}") from error
