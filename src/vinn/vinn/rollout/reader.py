"""Reading recordings back, whole or cut off by a crash."""

from __future__ import annotations

import os
import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from mcap.exceptions import EndOfFile, McapError
from mcap.records import Channel, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from vinn.errors import DatasetError
from vinn.reading.regular import open_regular
from vinn.rollout.recorder import INFO_RECORD, LOST_KEY, OUTCOME_RECORD, PARAMETERS_RECORD
from vinn.rollout.rosbag2 import is_rosbag2_directory, rosbag2_counts, rosbag2_messages

_LARGEST_RECORD = 256 * 2**20
"""Bytes; a longer record means a damaged length, and must not be allocated."""


_FOOTER_BYTES = 9 + 20
"""Opcode, length and contents of the last record, before the closing magic."""
_FOOTER_OPCODE = 0x02


@dataclass(frozen=True)
class RecordedMessage:
    """One message of a recording; `message` has the fields of its definition as attributes."""

    topic: str
    type_name: str
    stamp_ns: int
    message: Any


@dataclass(frozen=True)
class RecordingSummary:
    """What a recording says about itself."""

    info: dict[str, str]
    outcome: dict[str, str] | None
    """None: incomplete (the process was killed, or the disk was full)."""
    message_counts: dict[str, int]
    """By topic."""
    start_ns: int = 0
    """When the first message was recorded [ns since the epoch]; 0: there is none."""
    end_ns: int = 0
    """When the last message was recorded."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Parameters of the nodes at the start, `NODE.PARAMETER` to YAML."""

    @property
    def messages_lost(self) -> int:
        """How many messages are missing because the disk was too slow."""
        said = (self.outcome or {}).get(LOST_KEY, "0")
        return int(said) if said.isdecimal() else 0

    @property
    def attempts(self) -> int | None:
        """Closings of the gripper begun; None: the recording does not say."""
        said = (self.outcome or {}).get("attempts", "")
        return int(said) if said.isdecimal() else None

    @property
    def ended_by(self) -> str:
        """Why the rollout ended, and whether the recording has everything; for people."""
        reason = (self.outcome or {}).get("reason", "incomplete")
        return f"{reason}, {self.messages_lost} messages lost" if self.messages_lost else reason

    @property
    def duration_s(self) -> float:
        """From the first message to the last."""
        return (self.end_ns - self.start_ns) / 1e9


def read_recording(
    path: Path | str, topics: Container[str] | None = None
) -> Iterator[RecordedMessage]:
    """Messages in the order they were written, of all or of some topics.

    Types are read from the file itself. A file that was cut off ends with its last whole message.
    A directory is what `ros2 bag record` makes (MCAP or sqlite3).

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    path = Path(path)
    if is_rosbag2_directory(path):
        for recorded in rosbag2_messages(path, topics):
            yield RecordedMessage(*recorded)
        return
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    for record in mcap_records(path):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message):
            channel = channels.get(record.channel_id)
            if channel is None or channel.schema_id not in schemas:
                raise DatasetError(f"{path}: damaged: a message without channel or definition")
            if topics is not None and channel.topic not in topics:
                continue
            schema = schemas[channel.schema_id]
            store = _store_of(schema, path)
            try:
                message = store.deserialize_cdr(record.data, schema.name)
            except (SerdeError, ValueError, LookupError, MemoryError) as error:
                raise DatasetError(f"{path}: damaged message on {channel.topic}") from error
            yield RecordedMessage(channel.topic, schema.name, record.publish_time, message)


def summarize_recording(path: Path | str) -> RecordingSummary:
    """What a recording holds and how the rollout ended, without decoding messages.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    path = Path(path)
    if is_rosbag2_directory(path):
        counts, start_ns, end_ns = rosbag2_counts(path)
        return RecordingSummary({}, None, counts, start_ns, end_ns)
    info: dict[str, str] = {}
    parameters: dict[str, str] = {}
    outcome: dict[str, str] | None = None
    topics: dict[int, str] = {}
    counts = {}
    start_ns, end_ns = 0, 0
    for record in mcap_records(path):
        if isinstance(record, Channel):
            topics[record.id] = record.topic
        elif isinstance(record, Message):
            topic = topics.get(record.channel_id, "")
            counts[topic] = counts.get(topic, 0) + 1
            start_ns = start_ns or record.log_time
            end_ns = record.log_time
        elif isinstance(record, Metadata) and record.name == INFO_RECORD:
            info = dict(record.metadata)
        elif isinstance(record, Metadata) and record.name == OUTCOME_RECORD:
            outcome = dict(record.metadata)
        elif isinstance(record, Metadata) and record.name == PARAMETERS_RECORD:
            parameters |= record.metadata
    return RecordingSummary(info, outcome, counts, start_ns, end_ns, parameters)


def has_footer(path: Path) -> bool:
    """Whether an MCAP file was finished; False: its writer was cut off.

    Raises:
        DatasetError: the file cannot be read.
    """
    magic = len(MCAP0_MAGIC)
    with open_regular(path, DatasetError) as file:
        if os.fstat(file.fileno()).st_size < 2 * magic + _FOOTER_BYTES:
            return False
        file.seek(-magic - _FOOTER_BYTES, 2)
        end = file.read()
    return end[0] == _FOOTER_OPCODE and end.endswith(MCAP0_MAGIC)


class _WholeReads:
    """A file that gives what was asked or ends: mcap takes a short read for a whole one."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise EndOfFile
        self._left -= size
        return self._file.read(size)


def mcap_records(path: Path) -> Iterator[Any]:
    """The records of an MCAP file as they stand in it; a cut file ends with its last whole one.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    with open_regular(path, DatasetError) as file:
        size = os.fstat(file.fileno()).st_size
        stream: Any = _WholeReads(file, size)
        try:
            yield from StreamReader(stream, record_size_limit=_LARGEST_RECORD).records
        except EndOfFile as cut:
            if size < len(MCAP0_MAGIC):
                raise DatasetError(f"{path}: not a recording (empty or too short)") from cut
        except (McapError, ValueError, struct.error, LookupError, MemoryError) as error:
            raise DatasetError(f"{path}: not an MCAP recording, or damaged") from error


@lru_cache(maxsize=256)
def _store(text: str, name: str) -> Typestore:
    """A type with what it consists of, from its definition.

    Recordings repeat the same few definitions, and compiling them is most of opening one.
    """
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(text, name))
    return store


def _store_of(schema: Schema, path: Path) -> Typestore:
    if schema.encoding != "ros2msg":
        raise DatasetError(
            f"{path}: {schema.name} is defined in {schema.encoding!r}; allowed: ros2msg"
        )
    try:
        return _store(schema.data.decode(), schema.name)
    except (TypesysError, ValueError, LookupError, SyntaxError) as error:
        raise DatasetError(f"{path}: {schema.name}: its definition cannot be read") from error
