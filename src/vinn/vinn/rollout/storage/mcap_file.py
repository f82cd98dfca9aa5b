"""MCAP files record by record, whole or cut off by a crash, in chunks or not."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from lz4.frame import LZ4FrameDecompressor
from mcap.exceptions import EndOfFile, McapError
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import MCAP0_MAGIC

from vinn.errors import DatasetError
from vinn.reading.regular import open_regular
from vinn.rollout.storage.zstd import decompressed

_LARGEST_RECORD = 256 * 2**20
"""Bytes; a longer record means a damaged length, and must not be allocated."""
_FOOTER_BYTES = 9 + 20
"""Opcode, length and contents of the last record, before the closing magic."""
_FOOTER_OPCODE = 0x02
_DAMAGE = (
    McapError,
    zstandard.ZstdError,
    ValueError,  # also of text that is not UTF-8
    OverflowError,
    LookupError,
    MemoryError,
    RuntimeError,  # of lz4
    struct.error,
)


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


def has_index(path: Path) -> bool:
    """Whether readers that look messages up in an index find every one of them.

    Raises:
        DatasetError: the file cannot be read.
    """
    summary = _summary(path) if has_footer(path) else None
    statistics = summary.statistics if summary is not None else None
    if summary is None or statistics is None:
        return False
    return statistics.message_count == 0 or bool(summary.chunk_indexes)


def mcap_channels(path: Path) -> list[tuple[Channel, Schema | None]]:
    """Channels that hold messages, with their schemas, without reading a finished file whole.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    summary = _summary(path) if has_footer(path) else None
    if summary is not None and summary.statistics is not None and summary.channels:
        counts = summary.statistics.channel_message_counts
        return [
            (channel, summary.schemas.get(channel.schema_id))
            for channel in summary.channels.values()
            if counts.get(channel.id)
        ]
    return scan_channels(mcap_records(path))


def scan_channels(records: Iterator[Any]) -> list[tuple[Channel, Schema | None]]:
    """The same from all records of a file."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    used: dict[int, tuple[Channel, Schema | None]] = {}
    for record in records:
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message) and record.channel_id in channels:
            channel = channels[record.channel_id]
            used.setdefault(channel.id, (channel, schemas.get(channel.schema_id)))
    return list(used.values())


def mcap_records(path: Path, compressed: bool = False) -> Iterator[Any]:
    """The records of an MCAP file as they stand in it, those of chunks included.

    A cut file ends with its last whole record.

    Args:
        path: the file.
        compressed: as a whole, with zstd.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    with open_regular(path, DatasetError) as file:
        stream: Any = _WholeReads(_unpacking(file) if compressed else file)
        try:
            reader = StreamReader(stream, emit_chunks=True, record_size_limit=_LARGEST_RECORD)
            for record in reader.records:
                if isinstance(record, Chunk):
                    yield from breakup_chunk(_unpacked(record), validate_crc=True)
                else:
                    yield record
        except EndOfFile as cut:
            if os.fstat(file.fileno()).st_size < len(MCAP0_MAGIC):
                raise DatasetError(f"{path}: not a recording (empty or too short)") from cut
        except _DAMAGE as error:
            raise DatasetError(f"{path}: not an MCAP recording, or damaged") from error


class _WholeReads:
    """A file that gives what was asked or ends: mcap takes a short read for a whole one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        while len(data) < size:
            more = self._file.read(size - len(data))
            if not more:
                raise EndOfFile
            data += more
        return data


def _unpacking(file: BinaryIO) -> Any:
    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)


def _unpacked(chunk: Chunk) -> Chunk:
    """A chunk without compression; a size that cannot be true is not allocated."""
    size = chunk.uncompressed_size
    if size > _LARGEST_RECORD:
        raise ValueError(f"chunk of {size} bytes")
    if chunk.compression == "zstd":
        data = decompressed(chunk.data, size)
    elif chunk.compression == "lz4":
        data = LZ4FrameDecompressor().decompress(chunk.data, max_length=size)
    elif chunk.compression == "":
        return chunk
    else:
        raise ValueError(f"compression {chunk.compression!r}")
    return replace(chunk, compression="", data=data)


def _summary(path: Path) -> Any:
    """What a finished file says about itself; None where that cannot be read."""
    with open_regular(path, DatasetError) as file, contextlib.suppress(*_DAMAGE):
        return SeekingReader(file, record_size_limit=_LARGEST_RECORD).get_summary()
    return None
