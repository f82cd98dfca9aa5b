"""Recordings in folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vinn.errors import DatasetError
from vinn.rollout.recording_files import ALLOWED, is_recording

FOLDER = Path("runs/rollouts")
"""Where the nodes put recordings, unless a parameter says something else."""


class NoRecordingsError(DatasetError):
    """Folders hold no recording."""


def find_recordings(paths: Iterable[Path]) -> list[Path]:
    """Recordings named directly, and those that lie in named folders, the oldest name first.

    Raises:
        NoRecordingsError: folders are empty, or the nodes have not made theirs yet.
        DatasetError: a path does not exist.
    """
    found: list[Path] = []
    names = [Path(path) for path in paths]
    for path in names:
        if not path.exists():
            if path == FOLDER:
                raise NoRecordingsError(f"{path}: no rollout has been recorded yet")
            raise DatasetError(f"{path}: no such recording")
        if path.is_dir() and not is_recording(path):
            found += sorted(filter(is_recording, path.iterdir()))
        else:
            found.append(path)
    if not found:
        raise NoRecordingsError(
            f"{', '.join(map(str, names))}: holds no recording; allowed: {ALLOWED}"
        )
    return list(dict.fromkeys(found))
