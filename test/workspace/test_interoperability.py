"""The table of what this project was run with: its file, its Markdown, and adding to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "measure" / "interoperability.py"


def run(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *arguments, "--file", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(file: Path) -> list[dict[str, str]]:
    return json.loads(file.read_text())["rows"]


def test_a_row_is_added_and_the_same_run_again_replaces_it(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    assert run(file, "b", "1", "read", "works", "--command", "x | y").returncode == 0
    assert run(file, "a", "2", "write", "fails: no header").returncode == 0
    assert run(file, "b", "1", "read", "works: 3 of 3").returncode == 0
    assert run(file, "b", "2", "read", "works").returncode == 0
    assert [(r["tool"], r["version"], r["result"]) for r in rows(file)] == [
        ("a", "2", "fails: no header"),
        ("b", "1", "works: 3 of 3"),
        ("b", "2", "works"),
    ]
    assert len(file.with_suffix(".md").read_text().splitlines()) == 6 + 3


@pytest.mark.parametrize(
    "words", [("a", "1", "read"), ("a", "1", "read", "perhaps"), ("a", "", "read", "works")]
)
def test_a_row_that_says_too_little_changes_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    file = tmp_path / "table.json"
    assert run(file, "a", "1", "write", "works").returncode == 0
    before = file.read_bytes()
    done = run(file, *words)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert file.read_bytes() == before


def test_the_markdown_in_the_documents_is_the_files(tmp_path: Path) -> None:
    kept = ROOT / "docs/results/interoperability.json"
    copy = tmp_path / kept.name
    copy.write_bytes(kept.read_bytes())
    assert run(copy).returncode == 0
    assert copy.read_bytes() == kept.read_bytes()
    twin = kept.with_suffix(".md").read_text()
    assert copy.with_suffix(".md").read_text() == twin
    assert all(row["result"].startswith(("works", "fails")) for row in rows(kept))
