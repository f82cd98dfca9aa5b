"""The Parquet tables of a LeRobotDataset v3.0; pictures among them stay on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vinn.errors import DatasetError
from vinn.ingest.formats import lerobot_layout as layout
from vinn.reading.regular import check_regular, parsing

_NEEDED = ("action", "timestamp", "frame_index", "episode_index")
_USED = (*_NEEDED, "task_index")


@dataclass(frozen=True)
class Rows:
    """The frames of all episodes, N rows.

    Attributes:
        files: the Parquet files of `data/`.
        file: (N,) which of them a row stands in.
        action: N lists of numbers, not checked.
        timestamp: (N,) seconds from the beginning of the row's episode, not checked.
        frame_index: (N,) number within the episode.
        episode_index: (N,)
        task_index: (N,) row of `meta/tasks.parquet`, or None.
    """

    files: tuple[Path, ...]
    file: NDArray[np.int64]
    action: list[Any]
    timestamp: NDArray[np.float64]
    frame_index: NDArray[np.int64]
    episode_index: NDArray[np.int64]
    task_index: NDArray[np.int64] | None

    def of_episode(self, number: int, length: int, what: str) -> NDArray[np.int64]:
        """Its rows in the order of their frames.

        Raises:
            DatasetError: not as many as `meta/episodes` says, or not numbered from 0 on.
        """
        rows = np.flatnonzero(self.episode_index == number)
        rows = rows[np.argsort(self.frame_index[rows], kind="stable")]
        if len(rows) == 0:
            raise DatasetError(f"{what}: no frames")
        if len(rows) != length:
            raise DatasetError(f"{what}: {len(rows)} frames in data, {length} in meta/episodes")
        if (self.frame_index[rows] != np.arange(length)).any():
            raise DatasetError(f"{what}: frame_index does not count 0 to {length - 1}")
        return rows

    def timestamp_s(self, rows: NDArray[np.int64], what: str) -> NDArray[np.float64]:
        """Times of an episode's frames.

        Raises:
            DatasetError: not finite, or not increasing.
        """
        stamps_s = self.timestamp[rows]
        wrong = np.flatnonzero(~np.isfinite(stamps_s))
        if len(wrong) == 0:
            wrong = np.flatnonzero(np.diff(stamps_s) <= 0) + 1
        if len(wrong):
            raise DatasetError(
                f"{what}: frame {wrong[0]}: timestamp {stamps_s[wrong[0]]:g} s; allowed: finite "
                "and later than that of the frame before"
            )
        return stamps_s


def read_rows(root: Path) -> Rows:
    """All of `data/` but its pictures.

    Raises:
        DatasetError: missing, damaged, or without a column that is needed.
    """
    files = _files(root, "data")
    tables = [_read(path, _USED) for path in files]
    table = _concatenated(tables, files[0])
    for name in _NEEDED:
        if name not in table.column_names:
            raise DatasetError(f"{root}: data lacks the column {name!r}")
    file = np.repeat(np.arange(len(files)), [len(table) for table in tables])
    has_tasks = "task_index" in table.column_names
    try:
        return Rows(
            files=tuple(files),
            file=file,
            action=table["action"].to_pylist(),
            timestamp=_column(table, "timestamp").astype(np.float64),
            frame_index=_column(table, "frame_index").astype(np.int64),
            episode_index=_column(table, "episode_index").astype(np.int64),
            task_index=_column(table, "task_index").astype(np.int64) if has_tasks else None,
        )
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as cause:
        reason = str(cause).splitlines()[0]
        raise DatasetError(f"{root}: data holds something else than numbers: {reason}") from cause


def read_episodes(root: Path) -> list[dict[str, Any]]:
    """Rows of `meta/episodes`, without their statistics.

    Raises:
        DatasetError: missing or damaged.
    """
    files = _files(root, "meta/episodes")
    tables = [_read(path, None) for path in files]
    kept = [[n for n in t.column_names if not n.startswith("stats/")] for t in tables]
    chosen = [table.select(names) for table, names in zip(tables, kept, strict=True)]
    return list(_concatenated(chosen, files[0]).to_pylist())


def read_tasks(root: Path) -> dict[int, str]:
    """Number of a task -> its words; empty where the table is missing.

    Raises:
        DatasetError: damaged.
    """
    path = root / layout.TASKS
    if not path.is_file():
        return {}
    table = _read(path, None)
    # pandas keeps the words as the index, under a name of its own where it had none.
    words = next((n for n in table.column_names if n in ("task", "__index_level_0__")), None)
    if words is None or "task_index" not in table.column_names:
        return {}
    indices, tasks = table["task_index"].to_pylist(), table[words].to_pylist()
    return {int(i): str(t) for i, t in zip(indices, tasks, strict=True) if isinstance(i, int)}


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    column = table[name]
    if column.null_count:
        raise ValueError(f"{name} has gaps")
    return np.asarray(column.to_numpy())


def _files(root: Path, folder: str) -> list[Path]:
    found = sorted((root / folder).glob("chunk-*/file-*.parquet"))
    if not found:
        raise DatasetError(f"{root / folder}: no chunk-*/file-*.parquet in it")
    return found


def _concatenated(tables: list[pa.Table], first: Path) -> pa.Table:
    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as cause:
        raise DatasetError(f"{first}: tables of this folder do not fit together") from cause


def _read(path: Path, columns: tuple[str, ...] | None) -> pa.Table:
    check_regular(path, DatasetError)
    with parsing(path, DatasetError, "a Parquet file"), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = None if columns is None else [name for name in columns if name in names]
        table = file.read(columns=wanted)
        table.validate(full=True)  # texts that are no UTF-8 would raise where they are used
        return table
