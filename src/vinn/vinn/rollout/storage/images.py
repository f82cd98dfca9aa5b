"""The picture in an image message, whoever made it: a node's, a recording's, a foreign bag's.

Messages are taken by their fields, so that those of `rosbags` and those of ROS are the same here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import LARGEST_PX, check_size, decode_image
from vinn.demos.raw_image import rgb_from_rows

COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
IMAGE = "sensor_msgs/msg/Image"


def compressed_rgb(message: Any, what: str, largest_px: int = LARGEST_PX) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a sensor_msgs/CompressedImage, a JPEG or PNG by its bytes.

    Its field `format` is not asked: drivers write there what they like.

    Args:
        message: with `data`.
        what: begins the error's message.
        largest_px: neither side may be longer [px].

    Raises:
        vinn.errors.ImageError: empty, truncated, too large, or neither of the two.
    """
    return decode_image(np.frombuffer(message.data, np.uint8), what, largest_px)


def raw_rgb(message: Any, what: str, largest_px: int = LARGEST_PX) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a sensor_msgs/Image.

    Args:
        message: with `width`, `height`, `encoding`, `step` and `data`.
        what: begins the error's message.
        largest_px: neither side may be longer [px].

    Raises:
        vinn.errors.ImageError: size, encoding, step or length are wrong.
    """
    width, height = int(message.width), int(message.height)
    check_size(width, height, largest_px, what)
    return rgb_from_rows(message.data, width, height, int(message.step), message.encoding, what)


RGB_OF: dict[str, Callable[..., NDArray[np.uint8]]] = {
    COMPRESSED_IMAGE: compressed_rgb,
    IMAGE: raw_rgb,
}
"""How to read each type of image message: the types that an image topic may have."""
