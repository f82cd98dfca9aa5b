"""Messages of a rosbag2 recording, as they were sent: topic, type, time, bytes. No ROS here."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rosbags.rosbag2 import Reader, ReaderError
from vinn.errors import DatasetError

_LITTLE_ENDIAN_CDR = b"\x00\x01"


@dataclass(frozen=True)
class BagMessage:
    """One serialised message; `topic` without the leading slash."""

    topic: str
    type_name: str
    stamp_ns: int
    """When it was recorded [ns since the epoch]."""
    cdr: bytes


def bag_types(path: Path) -> dict[str, str]:
    """Type by topic (without the leading slash), of a rosbag2 directory or an MCAP file.

    Raises:
        vinn.errors.DatasetError: missing, or not a recording.
    """
    with _open(path) as reader:
        return {
            connection.topic.lstrip("/"): connection.msgtype for connection in reader.connections
        }


def bag_messages(path: Path, topics: Collection[str]) -> Iterator[BagMessage]:
    """The messages of some topics in the order in which they were recorded.

    Raises:
        vinn.errors.DatasetError: missing, not a recording, or damaged inside.
    """
    with _open(path) as reader:
        wanted = [c for c in reader.connections if c.topic.lstrip("/") in topics]
        try:
            for connection, stamp_ns, cdr in reader.messages(connections=wanted):
                yield BagMessage(
                    connection.topic.lstrip("/"), connection.msgtype, stamp_ns, bytes(cdr)
                )
        except (ReaderError, ValueError, struct.error) as error:
            raise DatasetError(f"{path}: damaged recording ({error})") from error


def restamped(cdr: bytes, stamp_ns: int) -> bytes:
    """A message that begins with a std_msgs/Header, stamped anew.

    The stamp is what follows the four bytes of CDR encapsulation: seconds and nanoseconds.
    """
    order = "<" if cdr[:2] == _LITTLE_ENDIAN_CDR else ">"
    stamp = struct.pack(order + "iI", stamp_ns // 1_000_000_000, stamp_ns % 1_000_000_000)
    return cdr[:4] + stamp + cdr[12:]


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Reader]:
    if not path.exists():
        raise DatasetError(f"bag: {path}: no such recording")
    try:
        reader = Reader(path)
        reader.open()
    except (ReaderError, OSError, ValueError, struct.error) as error:
        raise DatasetError(f"bag: {path}: not a rosbag2 recording ({error})") from error
    try:
        yield reader
    finally:
        reader.close()
