"""One concept per file, folders that are seen at a glance: the limits of CONTRIBUTING."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
MOST_MODULES = 20
"""Python files that stand directly in a folder; `__init__.py` and sub-folders are not counted."""


def python_files(area: Path) -> list[Path]:
    built = {"build", "install"}
    files = [path.relative_to(area.parent) for path in area.rglob("*.py")]
    return [path for path in files if not built & set(path.parts)]


def too_long(area: Path) -> dict[str, int]:
    """Lines of the files that have too many."""
    lengths = {
        str(path): len((area.parent / path).read_text().splitlines()) for path in python_files(area)
    }
    return {path: lines for path, lines in lengths.items() if lines > MOST_LINES}


def too_full(area: Path) -> dict[str, int]:
    """Modules of the folders that hold too many."""
    modules = [path for path in python_files(area) if path.name != "__init__.py"]
    counts = Counter(str(path.parent) for path in modules)
    return {folder: count for folder, count in counts.items() if count > MOST_MODULES}


@pytest.mark.parametrize(
    "area", ["src", "measure", "tools", "launch", "findings", "examples", "test"]
)
def test_no_file_is_longer_than_the_limit(area: str) -> None:
    assert too_long(ROOT / area) == {}


@pytest.mark.parametrize("area", ["src", "measure", "test"])
def test_no_folder_holds_more_modules_than_the_limit(area: str) -> None:
    assert len(python_files(ROOT / area)) >= 10  # it looks where they are
    assert too_full(ROOT / area) == {}


def test_one_line_and_one_module_too_many_are_named(tmp_path: Path) -> None:
    room = tmp_path / "test" / "room"
    room.mkdir(parents=True)
    for number in range(MOST_MODULES):
        (room / f"test_{number}.py").write_text("pass\n" * MOST_LINES)
    # Neither a package's own file nor a folder of its own makes a folder fuller.
    (room / "__init__.py").touch()
    (room / "inner").mkdir()
    (room / "inner" / "test_more.py").touch()
    assert (too_long(tmp_path / "test"), too_full(tmp_path / "test")) == ({}, {})
    (room / "conftest.py").write_text("pass\n" * (MOST_LINES + 1))
    assert too_long(tmp_path / "test") == {"test/room/conftest.py": MOST_LINES + 1}
    assert too_full(tmp_path / "test") == {"test/room": MOST_MODULES + 1}
