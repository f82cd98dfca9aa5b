"""Serialised messages with another stamp. No ROS here."""

from __future__ import annotations

import struct

_LITTLE_ENDIAN_CDR = b"\x00\x01"


def restamped(cdr: bytes, stamp_ns: int) -> bytes:
    """A message that begins with a std_msgs/Header, stamped anew.

    The stamp is what follows the four bytes of CDR encapsulation: seconds and nanoseconds.
    """
    order = "<" if cdr[:2] == _LITTLE_ENDIAN_CDR else ">"
    stamp = struct.pack(order + "iI", stamp_ns // 1_000_000_000, stamp_ns % 1_000_000_000)
    return cdr[:4] + stamp + cdr[12:]
