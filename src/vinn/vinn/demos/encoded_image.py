"""JPEG and PNG files as bytes: which of the two, how large, and whether all of it is there.

The structure is walked as decoders walk it, no more strictly: cameras put fill bytes before markers
and leave bytes behind the end. What decoders do not say is said here: cv2 fills what is missing of
a truncated file with grey.
"""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ImageError

ENCODINGS = ("JPEG", "PNG")
"""Allowed where an encoded image comes from outside."""

_JPEG_MAGIC = b"\xff\xd8"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Any number of fill bytes may stand before a marker; FF 00 is data (ITU-T T.81, B.1.1.2, B.1.1.5).
_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
_END_OF_IMAGE = 0xD9
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
"""TEM, the restart markers, and a second start of image."""
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers carry the size; C4, C8 and CC among them mean something else."""


def is_jpeg(data: bytes | NDArray[np.uint8]) -> bool:
    """Whether bytes begin as a JPEG does."""
    return bytes(data[:2]) == _JPEG_MAGIC


def is_png(data: bytes | NDArray[np.uint8]) -> bool:
    """Whether bytes begin as a PNG does."""
    return bytes(data[:8]) == _PNG_MAGIC


def jpeg_size(data: bytes | NDArray[np.uint8], what: str) -> tuple[int, int]:
    """Width and height [px] of a whole JPEG, without decoding.

    Raises:
        ImageError: empty, not a JPEG, truncated, or without a size; starts with `what`.
    """
    _refuse_empty(data, what)
    if not is_jpeg(data):
        raise ImageError(f"{what}: not a JPEG file")
    size: tuple[int, int] | None = None
    view, position = np.frombuffer(data, np.uint8).data, len(_JPEG_MAGIC)
    while found := _MARKER.search(view, position):
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            if size is None or 0 in size:
                raise ImageError(f"{what}: a JPEG without a size")
            return size
        if marker in _WITHOUT_LENGTH:
            continue
        if position + 7 > len(view):
            break
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", view, position + 3)
            size = int(width), int(height)
        position += struct.unpack_from(">H", view, position)[0]
    raise ImageError(f"{what}: truncated JPEG ({len(view)} bytes without an end marker)")


def png_size(data: bytes | NDArray[np.uint8], what: str) -> tuple[int, int]:
    """Width and height [px] of a whole PNG with sound checksums, without decoding.

    Raises:
        ImageError: empty, not a PNG, truncated or damaged; starts with `what`.
    """
    _refuse_empty(data, what)
    if not is_png(data):
        raise ImageError(f"{what}: not a PNG file")
    size: tuple[int, int] | None = None
    view, position = np.frombuffer(data, np.uint8).data, len(_PNG_MAGIC)
    while position + 12 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, position)
        end = position + 12 + length
        if end > len(view):
            break
        (checksum,) = struct.unpack_from(">I", view, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != checksum:
            raise ImageError(f"{what}: damaged PNG (checksum of {kind!r} at byte {position})")
        if size is None:
            if kind != b"IHDR" or length != 13:
                raise ImageError(f"{what}: a PNG without a size")
            width, height = struct.unpack_from(">II", view, position + 8)
            size = int(width), int(height)
        if kind == b"IEND":
            return size
        position = end
    raise ImageError(f"{what}: truncated PNG ({len(view)} bytes without an end)")


def _refuse_empty(data: bytes | NDArray[np.uint8], what: str) -> None:
    if not len(data):
        raise ImageError(f"{what}: the file is empty")
