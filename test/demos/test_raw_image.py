"""Raw images of sensor_msgs/Image: padding at the end of rows, orders of channels, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from vinn.errors import ImageError
from vinn.rollout.messages import build_message
from vinn.rollout.storage.images import raw_rgb

CHANNELS = {"rgb8": "RGB", "bgr8": "BGR", "rgba8": "RGBA", "bgra8": "BGRA", "mono8": "G"}


def message(pixels: np.ndarray, encoding: str, padding: int, **changes: object):
    height, width, channels = pixels.shape
    rng = np.random.default_rng(height)
    rows = rng.integers(0, 255, (height, width * channels + padding), np.uint8)
    rows[:, : width * channels] = pixels.reshape(height, -1)
    fields = {
        "height": height,
        "width": width,
        "encoding": encoding,
        "step": rows.shape[1],
        "data": rows.reshape(-1),
    }
    return build_message("sensor_msgs/msg/Image", fields | changes)


@pytest.mark.parametrize("encoding", CHANNELS)
@pytest.mark.parametrize("padding", [0, 1, 4, 32, 1000])
@pytest.mark.parametrize("big_endian", [0, 1])
def test_rows_end_where_their_pixels_do(encoding: str, padding: int, big_endian: int) -> None:
    rng = np.random.default_rng(padding)
    order = CHANNELS[encoding]
    for height, width in rng.integers(1, 40, (6, 2)):
        pixels = rng.integers(0, 255, (height, width, len(order)), np.uint8)
        image = message(pixels, encoding, padding, is_bigendian=big_endian)
        rgb = raw_rgb(image, "image")
        assert rgb.flags.c_contiguous
        for channel, letter in enumerate("RGB"):
            expected = pixels[:, :, order.index("G" if order == "G" else letter)]
            np.testing.assert_array_equal(rgb[:, :, channel], expected)


@pytest.mark.parametrize(
    ("encoding", "changes", "named"),
    [
        ("bayer_rggb8", {}, "encoding 'bayer_rggb8'; allowed: rgb8, bgr8, rgba8, bgra8, mono8"),
        ("16UC1", {}, "encoding '16UC1'"),
        ("yuv422", {}, "encoding 'yuv422'"),
        ("rgb8", {"step": 35}, "step 35; allowed: at least 36"),
        ("rgb8", {"step": 2**32 - 1}, "bytes; allowed:"),
        ("rgb8", {"step": 37}, "396 bytes; allowed: 407"),
        ("rgb8", {"height": 12}, "396 bytes; allowed: 432"),
        ("rgb8", {"width": 0}, "0 x 11"),
        ("rgb8", {"height": 20_000}, "12 x 20000"),
    ],
)
def test_what_does_not_fit_is_named(encoding: str, changes: dict, named: str) -> None:
    pixels = np.zeros((11, 12, 3), np.uint8)
    with pytest.raises(ImageError) as caught:
        raw_rgb(message(pixels, encoding, 0, **changes), "image")
    assert str(caught.value).startswith("image: ") and named in str(caught.value)
