"""Weight files of torch, read without torch and without running what a pickle may ask for.

A file that `torch.save` wrote is a pickle of a dictionary, whose tensors name storages that follow
it (the legacy format) or lie beside it in a zip archive. Unpickling resolves names of anything that
Python can import, and calls it. Here names are looked up in a table that holds what rebuilds
tensors and nothing else; any other is an error that says which one.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactError
from vinn.reading.regular import open_regular, parsing

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
WANTED = "a state dict that torch.save wrote"

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Storage:
    """A flat array of the file."""

    key: str
    kind: str
    length: int


@dataclass(frozen=True)
class _Tensor:
    """A tensor as the pickle describes it; its numbers are read afterwards."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mapping(dict[Any, Any]):
    """Stands for OrderedDict."""


def _rebuilt(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError(f"a tensor of {type(storage).__name__} instead of a storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: _Tensor, *_: object) -> _Tensor:
    return tensor


BFLOAT16 = "BFloat16Storage"
STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    BFLOAT16: "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
"""Kinds of storages, and as what their bytes are read: NumPy has no bfloat16."""
ADMITTED: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): _Mapping,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): name for name in STORAGES},
}
"""Names that a pickle may use, and what each stands for."""


class _Unpickler(pickle._Unpickler):
    """Python's own, in Python: the one in C makes room for what a damaged file claims to hold."""

    stack: list[Any]

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path

    def find_class(self, module: str, name: str) -> object:
        """One of `ADMITTED`.

        Raises:
            ArtefactError: any other; it is neither imported nor called.
        """
        try:
            return ADMITTED[(module, name)]
        except KeyError:
            raise ArtefactError(
                f"{self._path}: asks for '{module}.{name}'; allowed in a weight file: tensors alone"
            ) from None

    def persistent_load(self, name: Any) -> _Storage:
        """The storage that a tensor is a view of."""
        what, kind, key, _place, length, *views = name
        if what != "storage" or kind not in STORAGES or any(view is not None for view in views):
            raise ValueError("a storage of a kind that is not known")
        return _Storage(str(key), kind, int(length))

    def load_build(self) -> None:
        """What torch hangs on its dictionary (`_metadata`) is dropped; nothing else is changed."""
        self.stack.pop()
        if not isinstance(self.stack[-1], _Mapping):
            raise ValueError(f"sets attributes of a {type(self.stack[-1]).__name__}")

    dispatch: ClassVar[dict[int, Callable[..., Any]]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
    }


def read_state_dict(path: Path) -> Tensors:
    """Tensors by name, as NumPy arrays; bfloat16 becomes float32.

    A dictionary with an entry `state_dict`, as Lightning's checkpoints have, gives that one.

    Raises:
        ArtefactError: missing, malformed, or it asks for more than tensors. Nothing in it is run.
    """
    with open_regular(path, ArtefactError) as file, parsing(path, ArtefactError, WANTED):
        if zipfile.is_zipfile(file):
            found, bytes_of = _zipped(file, path)
        else:
            file.seek(0)
            found, bytes_of = _legacy(file, path)
        if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
            found = found["state_dict"]
        if not isinstance(found, dict) or not all(
            isinstance(key, str) and isinstance(value, _Tensor) for key, value in found.items()
        ):
            raise ArtefactError(f"{path}: expected a state dict of tensors")
        return {key: _array(key, tensor, bytes_of) for key, tensor in found.items()}


def _zipped(file: BinaryIO, path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    archive = zipfile.ZipFile(file)
    pickles = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise ValueError(f"{len(pickles)} entries data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") not in (
        b"little",
        b"",
    ):
        raise ValueError("numbers with the highest byte first")

    def member(name: str) -> bytes:
        info = archive.getinfo(name)
        # torch stores; what is packed may unpack to any size.
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        return archive.read(info)

    found = _Unpickler(io.BytesIO(member(pickles[0])), path).load()
    return found, lambda storage: member(f"{folder}data/{storage.key}")


def _legacy(file: BinaryIO, path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    head = [_Unpickler(file, path).load() for _ in range(3)]
    if head[:2] != [LEGACY_MAGIC, LEGACY_PROTOCOL]:
        raise ValueError("no such file of torch")
    if not isinstance(head[2], dict) or head[2].get("little_endian") is not True:
        raise ValueError("numbers with the highest byte first")
    found = _Unpickler(file, path).load()
    keys = _Unpickler(file, path).load()
    storages = {storage.key: storage for storage in _storages(found)}
    size = os.fstat(file.fileno()).st_size
    contents: dict[str, bytes] = {}
    for key in map(str, keys):
        length = int.from_bytes(file.read(8), "little")
        # A storage that no tensor of the dictionary is a view of has no kind, hence no size.
        wanted = length * np.dtype(STORAGES[storages[key].kind]).itemsize
        if wanted > size - file.tell():
            raise ValueError(f"storage {key}: cut off")
        contents[key] = file.read(wanted)
    return found, lambda storage: contents[storage.key]


def _storages(found: Any) -> list[_Storage]:
    nested = found.get("state_dict") if isinstance(found, dict) else None
    parts = [part for part in (found, nested) if isinstance(part, dict)]
    return [t.storage for part in parts for t in part.values() if isinstance(t, _Tensor)]


def _array(key: str, tensor: _Tensor, bytes_of: Callable[[_Storage], bytes]) -> NDArray[Any]:
    shape, strides = tensor.shape, tensor.strides
    flat = np.frombuffer(bytes_of(tensor.storage), STORAGES[tensor.storage.kind])
    whole = all(isinstance(value, int) and value >= 0 for value in (*shape, *strides))
    last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if (
        not whole
        or len(flat) != tensor.storage.length
        or tensor.offset < 0
        or (0 not in shape and last >= len(flat))
        # Strides of 0 make much of little.
        or np.prod(shape, dtype=object) > len(flat)
    ):
        raise ValueError(f"'{key}': {shape} does not lie in its storage of {len(flat)}")
    if 0 in shape:
        return np.empty(shape, flat.dtype.newbyteorder("="))
    steps = [stride * flat.itemsize for stride in strides]
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], shape, steps)
    if tensor.storage.kind == BFLOAT16:
        return (view.astype(np.uint32) << 16).view(np.float32)
    return np.array(view, dtype=view.dtype.newbyteorder("="))
