"""JPEG in and out: the only place where frames on disk change between RGB and cv2's BGR."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.errors import DatasetError, ImageError

JPEG_QUALITY = 95


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


def decode_jpeg(data: bytes, what: str) -> NDArray[np.uint8]:
    """The bytes of a JPEG file to (H, W, 3) uint8 RGB.

    cv2 fills what is missing of a truncated file with grey and does not say so; hence the check
    for the end marker.

    Raises:
        ImageError: empty, truncated or not a JPEG; the message starts with `what`.
    """
    if not data:
        raise ImageError(f"{what}: the file is empty")
    if not data.startswith(b"\xff\xd8"):
        raise ImageError(f"{what}: not a JPEG file")
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ImageError(f"{what}: truncated JPEG ({len(data)} bytes without an end marker)")
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ImageError(f"{what}: damaged JPEG, cannot be decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_frame(path: Path) -> NDArray[np.uint8]:
    """Read one frame of a demonstration as (H, W, 3) uint8 RGB.

    Raises:
        DatasetError: missing, empty, truncated or not a JPEG; the message names the file.
    """
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise DatasetError(f"{path}: cannot be read: {cause.strerror}") from cause
    try:
        return decode_jpeg(data, str(path))
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file of any format that cv2 knows as (H, W, 3) uint8 RGB.

    Raises:
        ImageError: missing, truncated or not an image; the message names the file.
    """
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise ImageError(f"{path}: cannot be read: {cause.strerror}") from cause
    if data.startswith(b"\xff\xd8"):
        return decode_jpeg(data, str(path))
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if bgr is None:
        raise ImageError(f"{path}: not an image, or damaged")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
