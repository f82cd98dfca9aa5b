"""zstd with a limit: a few damaged bytes can promise gigabytes."""

from __future__ import annotations

import io

import zstandard

MAGIC = b"\x28\xb5\x2f\xfd"
"""First bytes of what is compressed so; no CDR message begins with them."""
_PIECE_BYTES = 2**20


def decompressed(data: bytes, largest: int) -> bytes:
    """What was compressed, at most `largest` bytes.

    Raises:
        ValueError: damaged, or larger.
    """
    out = bytearray()
    try:
        reader = zstandard.ZstdDecompressor().stream_reader(
            io.BytesIO(data), read_across_frames=True
        )
        while piece := reader.read(_PIECE_BYTES):
            out += piece
            if len(out) > largest:
                raise ValueError(f"more than {largest} bytes")
    except (zstandard.ZstdError, MemoryError) as error:
        raise ValueError(f"damaged zstd ({error})") from error
    return bytes(out)
