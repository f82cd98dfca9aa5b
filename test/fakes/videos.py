"""Small videos for the tests."""

from __future__ import annotations

import struct
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


MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""ITU-T H.273 number -> the weights of red and blue in luma."""


def write_coloured(
    path: Path, image: np.ndarray, matrix: int, full_range: bool, frames: int = 3
) -> Path:
    """A film of one picture, turned to YUV here, by the matrix that the stream then names."""
    red, blue = MATRICES.get(matrix, (0.299, 0.114))
    r, g, b = np.moveaxis(image / 255.0, 2, 0)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma_b, chroma_r = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
    if full_range:
        planes = [luma * 255, chroma_b * 255 + 128, chroma_r * 255 + 128]
    else:
        planes = [16 + 219 * luma, 128 + 224 * chroma_b, 128 + 224 * chroma_r]
    planes = [plane if i == 0 else plane[::2, ::2] for i, plane in enumerate(planes)]
    flat = np.concatenate([np.clip(np.rint(p), 0, 255).astype(np.uint8).ravel() for p in planes])
    height, width = image.shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.options = {"crf": "3"}
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 2 if full_range else 1
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(flat.reshape(-1, width), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            frame.colorspace, frame.color_range = matrix, context.color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turned(source: Path, target: Path, clockwise_deg: float) -> Path:
    """The same MP4 file with the note of a phone that was held turned by so much."""
    content = bytearray(source.read_bytes())
    # Version 0 of the track header: type, version and flags, times, layer and volume, the matrix.
    place = content.index(b"tkhd") + 4 + 40
    angle = np.deg2rad(clockwise_deg)
    cos, sin = (round(float(f(angle)) * 2**16) for f in (np.cos, np.sin))
    assert struct.unpack_from(">9i", content, place) == (2**16, 0, 0, 0, 2**16, 0, 0, 0, 2**30)
    struct.pack_into(">9i", content, place, cos, sin, 0, -sin, cos, 0, 0, 0, 2**30)
    target.write_bytes(content)
    return target
