"""One concept per file, folders that are seen at a glance: the limits of CONTRIBUTING."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
MOST_MODULES = 20
"""Python files that stand directly in a folder; `__init__.py` and sub-folders are not counted."""


def python_files(area: str) -> list[Path]:
    built = {"build", "install"}
    files = [path.relative_to(ROOT) for path in (ROOT / area).rglob("*.py")]
    return [path for path in files if not built & set(path.parts)]


@pytest.mark.parametrize("area", ["src", "measure", "tools", "launch", "findings", "examples"])
def test_no_file_is_longer_than_the_limit(area: str) -> None:
    lengths = {str(p): len((ROOT / p).read_text().splitlines()) for p in python_files(area)}
    assert {path: n for path, n in lengths.items() if n > MOST_LINES} == {}


@pytest.mark.parametrize("area", ["src", "measure"])
def test_no_folder_holds_more_modules_than_the_limit(area: str) -> None:
    modules = [path for path in python_files(area) if path.name != "__init__.py"]
    assert len(modules) >= 10  # it looks where they are
    counts = Counter(str(path.parent) for path in modules)
    assert {folder: n for folder, n in counts.items() if n > MOST_MODULES} == {}
