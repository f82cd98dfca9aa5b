"""Parquet tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vinn.errors import VinnError
from vinn.reading.regular import parsing, read_bytes


def read_table(path: Path, error: type[VinnError]) -> pa.Table:
    """The table in a Parquet file.

    Raises:
        VinnError (as `error`): see `read_bytes`; or malformed.
    """
    return parse_table(read_bytes(path, error), path, error)


def parse_table(data: bytes, what: Path | str, error: type[VinnError]) -> pa.Table:
    """The table in the contents of a Parquet file; the message of an error begins with `what`.

    Parquet's reader takes texts as they come, and a text that is no UTF-8 would raise where it is
    used; so all values are checked here.
    """
    with parsing(what, error, "a Parquet file"):
        table = pq.read_table(pa.BufferReader(data))
        table.validate(full=True)
        return table
