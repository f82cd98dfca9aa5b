"""Recordings of processes that were killed, made whole for every reader.

A recording that nobody closed has neither footer nor summary; our own reader takes it as it is,
`ros2 bag` and others want an index. The repair copies all whole records into an indexed file. It
adds no outcome, so the recording stays marked as incomplete.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Channel, Message, Metadata, Schema
from mcap.writer import CompressionType, Writer

from vinn.errors import DatasetError
from vinn.rollout.reader import has_footer, mcap_records

REPAIR_RECORD = "vinn_rollout_repair"
"""MCAP metadata of a repaired recording: bytes of the original, messages kept."""


@dataclass(frozen=True)
class Repair:
    """What a repair did."""

    path: Path
    """The recording that is whole now."""
    messages: int
    already_whole: bool
    """Nothing had to be done."""


def repair_recording(path: Path, keep: bool = False) -> Repair:
    """Index a recording that was cut off; `NAME.mcap.partial` becomes `NAME.mcap`.

    Args:
        path: recording, cut off or whole; a whole one is left alone.
        keep: leave the cut file where it is (only where its name ends in `.partial`).

    Raises:
        DatasetError: not a recording, damaged inside, without a message, or the goal exists.
    """
    partial = path.name.endswith(".mcap.partial")
    if not partial and path.suffix != ".mcap":
        raise DatasetError(f"{path}: allowed: a name that ends in .mcap or .mcap.partial")
    messages = sum(isinstance(record, Message) for record in mcap_records(path))
    if has_footer(path) and not partial:
        return Repair(path, messages, already_whole=True)
    if messages == 0:
        raise DatasetError(f"{path}: holds no whole message; there is nothing to repair")
    target = path.with_name(path.name.removesuffix(".partial"))
    if partial and target.exists():
        raise DatasetError(f"{target}: exists already; {path.name} was not repaired")
    temporary = target.with_name(f".{target.name}.repair")
    try:
        _copy(path, temporary)
        copied = sum(isinstance(record, Message) for record in mcap_records(temporary))
        if copied != messages:
            raise DatasetError(f"{path}: {messages} messages, but {copied} in the copy; kept")
        temporary.replace(target)
        if partial and not keep:
            path.unlink()
    except OSError as error:
        raise DatasetError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
    return Repair(target, messages, already_whole=False)


def _copy(source: Path, target: Path) -> None:
    """Every whole schema, channel, message and metadata record, with an index."""
    with target.open("wb") as file:
        # Images are compressed already; an uncompressed chunk is read by every library.
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start(profile="ros2", library="vinn")
        schemas: dict[int, int] = {0: 0}
        channels: dict[int, int] = {}
        count = 0
        for record in mcap_records(source):
            if isinstance(record, Schema):
                schemas[record.id] = writer.register_schema(
                    record.name, record.encoding, record.data
                )
            elif isinstance(record, Channel):
                channels[record.id] = writer.register_channel(
                    record.topic,
                    record.message_encoding,
                    schemas[record.schema_id],
                    dict(record.metadata),
                )
            elif isinstance(record, Message):
                count += 1
                writer.add_message(
                    channels[record.channel_id],
                    record.log_time,
                    record.data,
                    record.publish_time,
                    record.sequence,
                )
            elif isinstance(record, Metadata):
                writer.add_metadata(record.name, dict(record.metadata))
        writer.add_metadata(
            REPAIR_RECORD, {"original_bytes": str(source.stat().st_size), "messages": str(count)}
        )
        writer.finish()
        file.flush()
        os.fsync(file.fileno())
