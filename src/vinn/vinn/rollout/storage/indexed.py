"""MCAP files written anew in chunks with an index, for readers that look messages up in one.

Many do (`@mcap/core`, Foxglove, `ros2 bag`): where there is no index they find nothing, and some do
not say so. A file that is being written has none, so that a killed process loses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mcap.records import Channel, Message, Metadata, Schema
from mcap.writer import CompressionType, Writer

from vinn.rollout.storage.mcap_file import mcap_records


def write_indexed(
    source: Path, target: Path, extra: Mapping[str, Mapping[str, str]] | None = None
) -> int:
    """Copy every whole schema, channel, message and metadata record in its order.

    Args:
        source: finished or cut off.
        target: file to write; replaced if it exists.
        extra: metadata records to add, by name.

    Returns:
        How many messages there are.

    Raises:
        OSError: the file cannot be written.
        vinn.errors.DatasetError: the source is not a recording, or damaged inside.
    """
    with target.open("wb") as file:
        # Images are compressed already; an uncompressed chunk is read by every library.
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start(profile="ros2", library="vinn")
        schemas: dict[int, int] = {0: 0}
        channels: dict[int, int] = {}
        count = 0
        for record in mcap_records(source):
            # The summary of a finished file repeats schemas and channels.
            if isinstance(record, Schema) and record.id not in schemas:
                schemas[record.id] = writer.register_schema(
                    record.name, record.encoding, record.data
                )
            elif isinstance(record, Channel) and record.id not in channels:
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
                # Else an outcome would come before what led to it, and a cut copy would claim it.
                writer.flush()
                writer.add_metadata(record.name, dict(record.metadata))
        writer.flush()
        for name, values in (extra or {}).items():
            writer.add_metadata(name, dict(values))
        writer.finish()
        file.flush()
        os.fsync(file.fileno())
    return count
