"""Encoded images in and out: the only place where they change between RGB and cv2's BGR.

Whoever reads an encoded image, from a file, a recording or a camera, has it decoded here: the
verdict is the same everywhere.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.encoded_image import ENCODINGS, is_jpeg, is_png, jpeg_size, png_size
from vinn.errors import DatasetError, ImageError
from vinn.reading.regular import read_bytes

JPEG_QUALITY = 95
LARGEST_PX = 16384
"""Longest side of an encoded image: a few damaged bytes must not ask for gigabytes."""


def check_image(image_rgb: NDArray[np.uint8], what: str = "image") -> None:
    """Refuse anything but a non-empty (H, W, 3) uint8 array.

    Raises:
        ImageError: names `what`, the shape and the type found.
    """
    if not isinstance(image_rgb, np.ndarray):
        raise ImageError(
            f"{what}: expected an (H, W, 3) uint8 array, got {type(image_rgb).__name__}"
        )
    shape_ok = image_rgb.ndim == 3 and image_rgb.shape[2] == 3 and image_rgb.size > 0
    if not shape_ok or image_rgb.dtype != np.uint8:
        raise ImageError(
            f"{what}: expected (H, W, 3) uint8, got shape {image_rgb.shape} of {image_rgb.dtype}"
        )


def encode_jpeg(image_rgb: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """(H, W, 3) uint8 RGB to the bytes of a JPEG file.

    Raises:
        ImageError: wrong shape or type.
    """
    check_image(image_rgb)
    bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ImageError(f"image of shape {image_rgb.shape}: cannot be encoded as JPEG")
    return data.tobytes()


def decode_jpeg(data: bytes | NDArray[np.uint8], what: str) -> NDArray[np.uint8]:
    """The bytes of a JPEG file to (H, W, 3) uint8 RGB.

    Raises:
        ImageError: empty, truncated, too large or not a JPEG; the message starts with `what`.
    """
    check_size(*jpeg_size(data, what), LARGEST_PX, what)
    return _decode(data, what, "JPEG")


def decode_image(
    data: bytes | NDArray[np.uint8], what: str, largest_px: int = LARGEST_PX
) -> NDArray[np.uint8]:
    """The bytes of a JPEG or PNG file to (H, W, 3) uint8 RGB.

    Args:
        data: contents of the file.
        what: begins the error's message.
        largest_px: neither side may be longer [px].

    Raises:
        ImageError: empty, truncated, too large, or neither of the two.
    """
    if is_png(data):
        size, kind = png_size(data, what), "PNG"
    elif is_jpeg(data) or not len(data):
        size, kind = jpeg_size(data, what), "JPEG"
    else:
        raise ImageError(
            f"{what}: begins with {bytes(data[:4]).hex(' ')}; allowed: {' or '.join(ENCODINGS)}"
        )
    check_size(*size, largest_px, what)
    return _decode(data, what, kind)


def check_size(width_px: int, height_px: int, largest_px: int, what: str) -> None:
    """Refuse an image before memory is spent on it.

    Raises:
        ImageError: a side is 0 or longer than `largest_px`; the message starts with `what`.
    """
    if not (0 < width_px <= largest_px and 0 < height_px <= largest_px):
        raise ImageError(f"{what}: {width_px} x {height_px}; allowed: 1..{largest_px} px a side")


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Read one frame of a demonstration as (H, W, 3) uint8 RGB.

    Raises:
        DatasetError: missing, empty, truncated or not a JPEG; the message names the file.
    """
    data = read_bytes(path, DatasetError)
    try:
        return decode_jpeg(data, str(path))
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file of any format that cv2 knows as (H, W, 3) uint8 RGB.

    Raises:
        ImageError: missing, truncated or not an image; the message names the file.
    """
    data = read_bytes(path, ImageError)
    if is_jpeg(data) or is_png(data):
        return decode_image(data, str(path))
    return _decode(data, str(path), "file, or not an image")


def _decode(data: bytes | NDArray[np.uint8], what: str, kind: str) -> NDArray[np.uint8]:
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:  # its own limits of size
        bgr = None
    if bgr is None:
        raise ImageError(f"{what}: damaged {kind}, cannot be decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
