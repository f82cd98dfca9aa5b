"""Which files and directories are recordings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vinn.errors import DatasetError
from vinn.rollout.rosbag2 import is_rosbag2_directory


def find_recordings(paths: Iterable[Path]) -> list[Path]:
    """Recordings named directly, and those that lie in named folders, the oldest name first.

    Raises:
        DatasetError: a path does not exist, or there is no recording at all.
    """
    found: list[Path] = []
    names = [Path(path) for path in paths]
    for path in names:
        if not path.exists():
            raise DatasetError(f"{path}: no such recording")
        if path.is_dir() and not is_rosbag2_directory(path):
            found += sorted(filter(_is_recording, path.iterdir()))
        else:
            found.append(path)
    if not found:
        raise DatasetError(f"{', '.join(map(str, names))}: holds no recording (*.mcap)")
    return list(dict.fromkeys(found))


def _is_recording(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return is_rosbag2_directory(path)
    return path.name.endswith((".mcap", ".mcap.partial"))
