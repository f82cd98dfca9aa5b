"""JPEG and PNG bytes as cameras and files have them: whole ones are read, others refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from vinn.demos.encoded_image import jpeg_size, png_size
from vinn.demos.frames import decode_image, decode_jpeg, read_frame, read_image
from vinn.errors import DatasetError, ImageError
from vinn.rollout.messages import build_message, image_fields
from vinn.rollout.storage.images import RGB_OF

TYPE = "sensor_msgs/msg/CompressedImage"
KINDS: dict[str, dict] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "without subsampling": {"subsampling": 0, "quality": 97},
    "with restarts": {"restart_marker_blocks": 2},
    "grey": {"grey": True},
    "with a comment": {"comment": b"\xff\xd9 is no end here \xff\xc0"},
}


def a_picture(rng: np.random.Generator, height: int = 48, width: int = 72) -> NDArray[np.uint8]:
    coarse = rng.integers(0, 255, (5, 7, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), np.uint8)


def jpeg(rng: np.random.Generator, kind: str) -> bytes:
    settings = dict(KINDS[kind])
    picture = Image.fromarray(a_picture(rng))
    if settings.pop("grey", False):
        picture = picture.convert("L")
    file = io.BytesIO()
    picture.save(file, "JPEG", **settings)
    return file.getvalue()


def with_fill_bytes(data: bytes, count: int) -> bytes:
    """Fill bytes before every marker segment up to the first scan, and before the end."""
    out, position = [data[:2]], 2
    while data[position + 1] != 0xDA:
        length = 2 + struct.unpack_from(">H", data, position + 2)[0]
        out.append(b"\xff" * count + data[position : position + length])
        position += length
    return b"".join([*out, b"\xff" * count, data[position:-2], b"\xff" * count, data[-2:]])


ADDITIONS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: data,
    "a zero": lambda data: data + b"\0",
    "zeros to a full buffer": lambda data: data + bytes(4096 - len(data) % 4096),
    "the rest of an older frame": lambda data: data + data[len(data) // 3 :],
    "another end": lambda data: data + b"\xff\xd9",
    "text": lambda data: data + b"\r\n--boundary\r\n",
    "a fill byte": lambda data: with_fill_bytes(data, 1),
    "fill bytes": lambda data: with_fill_bytes(data, 5),
}


def verdicts(data: bytes, folder) -> dict[str, NDArray[np.uint8] | str]:
    """What everyone who reads a JPEG says of it: the node, a recording's reader, a dataset's."""
    message = build_message(TYPE, image_fields(data, 0))
    file = folder / "frame.jpg"
    file.write_bytes(data)
    readers = {
        "message": lambda: RGB_OF[TYPE](message, "x"),
        "demonstration": lambda: read_frame(file),
        "camera": lambda: read_image(file),
        "jpeg": lambda: decode_jpeg(data, "x"),
    }
    return {name: _verdict(read) for name, read in readers.items()}


def _verdict(read: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8] | str:
    try:
        return read()
    except (ImageError, DatasetError) as error:
        return str(error).partition(": ")[2]


@pytest.mark.parametrize("added", ADDITIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_around_a_whole_jpeg_change_nothing(kind: str, added: str, tmp_path) -> None:
    plain = jpeg(np.random.default_rng(1), kind)
    expected = decode_jpeg(plain, "plain")
    assert expected.shape == (48, 72, 3) and expected.std() > 10
    data = ADDITIONS[added](plain)
    assert jpeg_size(data, "x") == (72, 48)
    for name, image in verdicts(data, tmp_path).items():
        assert not isinstance(image, str), (name, image)
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [0, 1, 1000])
def test_a_jpeg_cut_anywhere_is_refused_by_all_alike(kind: str, padding: int, tmp_path) -> None:
    rng = np.random.default_rng(2)
    data = jpeg(rng, kind)
    for size in [*rng.integers(2, len(data) - 1, 40), len(data) - 1]:
        said = verdicts(data[:size] + bytes(padding), tmp_path)
        assert all(isinstance(verdict, str) for verdict in said.values()), size
        assert len(set(map(str, said.values()))) == 1, said
        assert "truncated" in str(said["jpeg"]) or "without a size" in str(said["jpeg"])


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_a_png_is_read_and_a_damaged_one_refused(mode: str) -> None:
    rng = np.random.default_rng(3)
    file = io.BytesIO()
    Image.fromarray(a_picture(rng)).convert(mode).save(file, "PNG")
    data = file.getvalue()
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for whole in (data, data + b"\0" * 7):
        assert png_size(whole, "x") == (72, 48)
        np.testing.assert_array_equal(decode_image(whole, "x"), expected)
    for size in rng.integers(0, len(data), 30):
        with pytest.raises(ImageError):
            decode_image(data[:size], "x")
    for position in rng.integers(8, len(data), 30):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(ImageError, match=r"x: (damaged|truncated) PNG|x: a PNG without"):
            decode_image(bytes(flipped), "x")


def test_what_is_neither_is_named_and_large_ones_are_not_decoded() -> None:
    with pytest.raises(ImageError, match=r"begins with 47 49 46 38; allowed: JPEG or PNG"):
        decode_image(b"GIF89a....", "x")
    picture = a_picture(np.random.default_rng(4), 60, 600)
    for suffix in (".jpg", ".png"):
        data = cv2.imencode(suffix, picture)[1].tobytes()
        with pytest.raises(ImageError, match=r"x: 600 x 60; allowed: 1\.\.512 px"):
            decode_image(data, "x", 512)
    header = struct.pack(">II5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    huge = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    with pytest.raises(ImageError, match="60000 x 60000"):
        decode_image(huge, "x")
