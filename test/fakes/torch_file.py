"""Weight files as torch writes them, made without torch: a pickle put together by hand."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping

import numpy as np

KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
HEAD = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})


def legacy_file(tensors: Mapping[str, np.ndarray], value: bytes | None = None) -> bytes:
    """As torch wrote before 1.6, and still does on request.

    Args:
        tensors: by name.
        value: pickle opcodes of one further value, called "further".
    """
    parts = [pickle.dumps(part, 2) for part in HEAD]
    parts.append(state_pickle(tensors, value, legacy=True))
    keys = [str(number) for number in range(len(tensors))]
    parts.append(pickle.dumps(keys, 2))
    parts += [
        array.size.to_bytes(8, "little") + np.ascontiguousarray(array).tobytes()
        for array in tensors.values()
    ]
    return b"".join(parts)


def zip_file(
    tensors: Mapping[str, np.ndarray], value: bytes | None = None, packed: bool = False
) -> bytes:
    """As torch writes today; `packed` compresses, which torch never does."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("weights/data.pkl", state_pickle(tensors, value, legacy=False))
        archive.writestr("weights/byteorder", "little")
        for number, array in enumerate(tensors.values()):
            archive.writestr(f"weights/data/{number}", np.ascontiguousarray(array).tobytes())
        archive.writestr("weights/version", "3\n")
    return buffer.getvalue()


def state_pickle(
    tensors: Mapping[str, np.ndarray], value: bytes | None = None, legacy: bool = True
) -> bytes:
    """The pickle of an OrderedDict of tensors, `_metadata` included."""
    found = b"\x80\x02ccollections\nOrderedDict\n)R"
    for number, (name, array) in enumerate(tensors.items()):
        strides = np.empty(array.shape, np.uint8).strides
        found += plain(name) + tensor(
            str(number), KINDS[array.dtype.name], array.size, array.shape, strides, legacy=legacy
        )
        found += b"s"
    if value is not None:
        found += plain("further") + value + b"s"
    return found + plain({"_metadata": {"": {"version": 1}}}) + b"b."


def tensor(
    key: str,
    kind: str,
    length: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int = 0,
    legacy: bool = True,
) -> bytes:
    """Opcodes of a tensor that is a view of a storage."""
    storage = b"(" + plain("storage") + f"ctorch\n{kind}\n".encode() + plain(key) + plain("cpu")
    storage += plain(length) + (b"N" if legacy else b"") + b"tQ"
    rest = plain(offset) + plain(shape) + plain(strides) + b"\x89" + b")t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"R"


def plain(value: object) -> bytes:
    """Opcodes of a value without classes."""
    return pickle.dumps(value, 2)[2:-1]
