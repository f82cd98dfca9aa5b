"""findings/README.md lists every script with one line, and each script says what it shows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

FINDINGS = Path(__file__).parents[2] / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))
LONGEST_LINE = 120


def listed() -> dict[str, str]:
    rows = re.findall(
        r"^\| \[(.+)\]\((.+)\) \| (.+) \|$", (FINDINGS / "README.md").read_text(), re.MULTILINE
    )
    assert all(name == link for name, link, _ in rows)
    return {name: said for name, _, said in rows}


def test_every_script_is_listed_once_in_order() -> None:
    assert list(listed()) == [path.name for path in SCRIPTS]


def test_each_has_a_line_of_its_own() -> None:
    said = list(listed().values())
    assert len(set(said)) == len(said)
    for line in said:
        assert 20 < len(line) <= LONGEST_LINE, line


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_sound_and_says_what_was_seen(path: Path) -> None:
    text = path.read_text()
    shell = "bash" if text.startswith("#!/usr/bin/env bash\n") else "sh"
    assert shell == "bash" or text.startswith("#!/bin/sh\n")
    checked = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    head = text.partition("\nset -eu")[0]
    seen = re.search(r"^# Output seen.*:\n((?:#.+\n?)+)", head, re.MULTILINE)
    assert seen is not None, "its head says which output was seen"
    # The version is in the head, and in the commands that install it.
    version = re.search(r"\d+\.\d+(\.\d+)+", head)
    assert version is not None and version[0] in text.removeprefix(head)
