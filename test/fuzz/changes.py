"""Seeded changes of a file: what disks, cables, editors and other programs do to it, and worse."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

Rng = np.random.Generator
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_OTHER_NUMBERS = (
    *(b"-1", b"0", b"1e30", b"-1e400", b"NaN", b"Infinity", b".nan", b"-.inf", b"0.1", b"5.0"),
    *(b"99999999999999999999", b"9" * 5000, b"null", b'"text"', b"[]", b"{}", b"true"),
    b"2001-99-99",
)
_TOKENS = (b"[" * 5000, b'{"a":' * 3000, b"- " * 5000, b"\xff\xfe", b"\0", b"&a *a ", b"\n", b"!!")
_EXTREMES = (b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x00" * 8, b"\x80" + b"\x00" * 7, b"\xff" * 4)


def flipped(content: bytes, rng: Rng) -> bytes:
    """One to three bits."""
    changed = bytearray(content)
    for place in rng.integers(0, len(content), int(rng.integers(1, 4))):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwritten(content: bytes, rng: Rng) -> bytes:
    """A run of zeros, ones or noise, as a bad sector gives it."""
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 64))
    run = (b"\0" * length, b"\xff" * length, rng.bytes(length))[int(rng.integers(3))]
    return content[:start] + run + content[start + length :]


def extreme(content: bytes, rng: Rng) -> bytes:
    """A length or offset that is far too large, or negative."""
    place = int(rng.integers(max(1, len(content) // 4))) * 4
    value = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    return content[:place] + value + content[place + len(value) :]


def truncated(content: bytes, rng: Rng) -> bytes:
    """Its beginning alone."""
    return content[: int(rng.integers(len(content)))]


def longer(content: bytes, rng: Rng) -> bytes:
    """Something put in."""
    place = int(rng.integers(len(content) + 1))
    return content[:place] + rng.bytes(int(rng.integers(1, 200))) + content[place:]


def shorter(content: bytes, rng: Rng) -> bytes:
    """Something taken out."""
    start = int(rng.integers(len(content)))
    return content[:start] + content[start + int(rng.integers(1, 200)) :]


def doubled(content: bytes, rng: Rng) -> bytes:
    """A part of it twice."""
    start, end = sorted(rng.integers(0, len(content) + 1, 2))
    return content[:end] + content[start:end] + content[end:]


def other_number(content: bytes, rng: Rng) -> bytes:
    """One number of a text is another one, or none."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return flipped(content, rng)
    match = found[int(rng.integers(len(found)))]
    value = _OTHER_NUMBERS[int(rng.integers(len(_OTHER_NUMBERS)))]
    return content[: match.start()] + value + content[match.end() :]


def other_token(content: bytes, rng: Rng) -> bytes:
    """What breaks parsers of texts, somewhere."""
    place = int(rng.integers(len(content) + 1))
    token = _TOKENS[int(rng.integers(len(_TOKENS)))]
    return content[:place] + token + content[place:]


def other_file(content: bytes, rng: Rng) -> bytes:
    """Another kind of file under the name."""
    made = (
        b"",
        b"PK\x03\x04" + rng.bytes(80),
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 5), }\n",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': ".ljust(128),
        b"PAR1" + rng.bytes(60) + b"PAR1",
        b"\x89MCAP0\r\n" + rng.bytes(100),
        b"SQLite format 3\0" + rng.bytes(200),
        b"\xff\xd8\xff\xe0" + rng.bytes(50) + b"\xff\xd9",
        b"<?xml version='1.0'?><net \xff>",
        b"%YAML 9.9\n---\n",
        rng.bytes(300),
        content[::-1],
    )
    return made[int(rng.integers(len(made)))]


CHANGES: tuple[Callable[[bytes, Rng], bytes], ...] = (
    *(flipped, flipped, overwritten, extreme, truncated, longer, shorter, doubled),
    *(other_number, other_number, other_token, other_file),
)
TEXTS = (".json", ".yaml", ".yml", ".xml", "SHA256SUMS")
OF_TEXTS = (other_number, other_token)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _nothing(path: Path) -> None:
    path.symlink_to(path.with_name("no-such-file"))


def _itself(path: Path) -> None:
    path.symlink_to(path)


SPECIAL: tuple[Callable[[Path], None], ...] = (_pipe, _device, _nothing, _itself, Path.mkdir)
_SPECIAL_SHARE = 0.06


def change(path: Path, sound: bytes, rng: Rng) -> str:
    """Change a file in place, to something other than `sound`; returns how."""
    if rng.random() < _SPECIAL_SHARE:
        path.unlink()
        special = SPECIAL[int(rng.integers(len(SPECIAL)))]
        special(path)
        return special.__name__
    while True:
        how = CHANGES[int(rng.integers(len(CHANGES)))]
        if how in OF_TEXTS and not path.name.endswith(TEXTS) and rng.random() < 0.8:
            continue
        content = how(sound, rng)
        if content != sound:
            path.write_bytes(content)
            return how.__name__
