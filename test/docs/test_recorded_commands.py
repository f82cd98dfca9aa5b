"""The commands that docs/results name are commands of today: each is parsed by the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_lines import check

ROOT = Path(__file__).parents[2]


def recorded() -> list[str]:
    found: dict[str, None] = {}
    for path in sorted((ROOT / "docs" / "results").glob("*.json")):
        content = json.loads(path.read_text())
        for entry in (content, *content.get("rows", [])):
            for command in str(entry.get("command") or "").split(" && "):
                if command:
                    found[command] = None
    return list(found)


def test_there_are_some() -> None:
    assert len(recorded()) >= 10


@pytest.mark.parametrize("command", recorded())
def test_a_recorded_command_is_one_of_today(command: str) -> None:
    check(command)
