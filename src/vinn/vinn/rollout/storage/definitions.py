"""Messages decoded by the definition that their own recording carries."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import (
    Stores,
    TypesysError,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)
from rosbags.typesys.store import Typestore

from vinn.errors import DatasetError
from vinn.rollout.messages import typestore
from vinn.rollout.storage.stored import StoredMessage, StoredType

_PARSERS: dict[str, Callable[[str, str], Any]] = {
    "ros2msg": get_types_from_msg,
    # An IDL text names its types itself.
    "ros2idl": lambda text, _: get_types_from_idl(text),
}
_HEADER = re.compile(r"(std_msgs/(msg/)?)?Header\s+\w+")
_IDL_HEADER = re.compile(r"struct\s+\w+\s*\{\s*(@\w+[^;]*\s)?std_msgs::msg::Header\s")


def decode(message: StoredMessage, path: Path) -> Any:
    """A message with the fields of its definition as attributes.

    Raises:
        DatasetError: its definition cannot be read, or it does not fit; names `path` and topic.
    """
    store = _store_of(message.type, message.topic, path)
    try:
        return store.deserialize_cdr(message.data, message.type.name)
    except (SerdeError, LookupError, MemoryError, ValueError, struct.error) as error:
        raise DatasetError(f"{path}: damaged message on {message.topic}") from error


@lru_cache(maxsize=256)
def begins_with_header(kind: StoredType) -> bool:
    """Whether the messages of a type begin with a std_msgs/Header, and so with a stamp."""
    if not kind.definition:
        known = typestore().fielddefs.get(kind.name)
        return bool(known and known[1] and known[1][0][1][1] == "std_msgs/msg/Header")
    if kind.language == "ros2idl":
        return _IDL_HEADER.search(kind.definition) is not None
    for line in kind.definition.splitlines():
        text = line.partition("#")[0].strip()
        if text and "=" not in text:
            return _HEADER.fullmatch(text) is not None
    return False


@lru_cache(maxsize=256)
def _store(kind: StoredType) -> Typestore:
    """A type with what it consists of, from its definition.

    Recordings repeat the same few definitions, and compiling them is most of opening one.
    """
    store = get_typestore(Stores.EMPTY)
    store.register(_PARSERS[kind.language](kind.definition, kind.name))
    return store


def _store_of(kind: StoredType, topic: str, path: Path) -> Typestore:
    if kind.encoding != "cdr":
        raise DatasetError(
            f"{path}: {topic}: messages are encoded as {kind.encoding!r}; allowed: 'cdr'"
        )
    if not kind.definition:
        if kind.name not in typestore().types:
            raise DatasetError(
                f"{path}: {topic}: type {kind.name!r} is neither defined in the recording nor known"
            )
        return typestore()
    if kind.language not in _PARSERS:
        raise DatasetError(
            f"{path}: {kind.name} is defined in {kind.language!r}; allowed: {', '.join(_PARSERS)}"
        )
    try:
        store = _store(kind)
    except (TypesysError, ValueError, LookupError, SyntaxError, AttributeError) as error:
        raise DatasetError(f"{path}: {kind.name}: its definition cannot be read") from error
    if kind.name not in store.types:
        raise DatasetError(f"{path}: {kind.name}: its definition is of another type")
    return store
