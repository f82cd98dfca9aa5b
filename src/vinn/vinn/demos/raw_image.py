"""Rows of 8-bit pixels, as sensor_msgs/Image has them, to RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ImageError

_RGB_OF: dict[str, tuple[int, tuple[int, int, int]]] = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
}
"""Channels of each encoding, and which of them are red, green and blue."""

RAW_ENCODINGS = tuple(_RGB_OF)
"""Allowed where a raw image comes from outside. One byte a value: its byte order is no matter."""


def rgb_from_rows(
    data: Any, width_px: int, height_px: int, step_bytes: int, encoding: str, what: str
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB from rows of pixels.

    Args:
        data: `height_px * step_bytes` bytes.
        width_px: of the image; its size was checked already.
        height_px: of the image.
        step_bytes: from the beginning of a row to that of the next; what follows its pixels is
            padding.
        encoding: one of `RAW_ENCODINGS`.
        what: begins the error's message.

    Raises:
        ImageError: encoding, step or length are wrong.
    """
    if encoding not in _RGB_OF:
        raise ImageError(f"{what}: encoding {encoding!r}; allowed: {', '.join(RAW_ENCODINGS)}")
    channels, rgb = _RGB_OF[encoding]
    row_bytes = width_px * channels
    if step_bytes < row_bytes:
        raise ImageError(f"{what}: step {step_bytes}; allowed: at least {row_bytes}")
    if len(data) != step_bytes * height_px:
        raise ImageError(f"{what}: {len(data)} bytes; allowed: {step_bytes * height_px}")
    rows = np.frombuffer(data, np.uint8).reshape(height_px, step_bytes)[:, :row_bytes]
    pixels = rows.reshape(height_px, width_px, channels)
    return np.ascontiguousarray(pixels[:, :, rgb])
