"""One decoded video frame as an image: the stream's own colour matrix, and upright.

PyAV before 17 turns every YUV frame to RGB by BT.601, whatever the stream says, unless it is told
the matrix and the range; before 14.2 frames do not know how the phone was held.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vinn.errors import CameraError

_MAX_SIDE_PX = 8192
_UNSAID = (2, 3)
"""Colour matrices of ITU-T H.273 that say nothing; FFmpeg then takes BT.601."""
_KNOWN = {1: "BT.709", 4: "FCC", 5: "BT.470", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
_LARGEST_TILT_DEG = 1.0


def frame_rgb(frame: Any, what: str) -> NDArray[np.uint8]:
    """A PyAV frame as (H, W, 3) uint8 RGB, turned as its display matrix says.

    Args:
        frame: an `av.VideoFrame`.
        what: begins the errors.

    Raises:
        CameraError: too large, turned by something else than quarters, or of a colour matrix that
            nobody here knows.
    """
    if max(frame.width, frame.height) > _MAX_SIDE_PX:
        raise CameraError(
            f"{what}: frames of {frame.width}x{frame.height}; at most {_MAX_SIDE_PX} a side"
        )
    if not hasattr(frame, "rotation"):
        raise CameraError(
            f"{what}: PyAV {av.__version__} does not say how a film is turned; allowed: 14.2 and up"
        )
    # Counter-clockwise, in degrees.
    turned = float(frame.rotation)
    quarters = round(turned / 90)
    if abs(turned - 90 * quarters) > _LARGEST_TILT_DEG:
        raise CameraError(f"{what}: turned by {turned:g} degrees; allowed: multiples of 90")
    image = _converted(frame, what)
    return np.ascontiguousarray(np.rot90(image, quarters % 4)) if quarters % 4 else image


def _converted(frame: Any, what: str) -> NDArray[np.uint8]:
    matrix = int(frame.colorspace)
    if frame.format.is_rgb or matrix in _UNSAID or not frame.format.name.startswith(("yuv", "nv")):
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    if matrix not in _KNOWN:
        known = ", ".join(f"{number} ({name})" for number, name in _KNOWN.items())
        raise CameraError(f"{what}: colour matrix {matrix}; allowed: {known}")
    plain = frame.reformat(
        format="rgb24",
        src_colorspace=matrix,
        dst_colorspace="DEFAULT",
        src_color_range=int(frame.color_range),
        dst_color_range="JPEG",
    )
    return np.asarray(plain.to_ndarray(), np.uint8)
