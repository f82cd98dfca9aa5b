"""Small videos for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path, images: Sequence[np.ndarray], rate: int, numbers: Sequence[int] | None = None
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "10", "preset": "ultrafast"}
        stream.codec_context.time_base = Fraction(1, rate)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index if numbers is None else numbers[index]
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey_levels(count: int, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """Frame i is uniformly grey of level 5 i."""
    return [np.full((*size, 3), 5 * i, np.uint8) for i in range(count)]
