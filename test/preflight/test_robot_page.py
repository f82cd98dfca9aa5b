"""docs/robot.md knows every reason code, and names only commands and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from vinn.robot.types import ReasonCode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "robot.md").read_text()


def rows() -> dict[str, list[str]]:
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and re.fullmatch(r"`[A-Z_]+`", cells[0]):
            found[cells[0].strip("`")] = cells[1:]
    return found


def test_the_page_has_a_row_for_every_reason_code_and_for_no_other() -> None:
    assert set(rows()) == {reason.value for reason in ReasonCode}


def test_every_reason_says_what_it_means_and_every_fault_what_to_do() -> None:
    for reason, (meaning, remedy) in rows().items():
        assert meaning
        assert remedy or reason in ("NONE", "SUCCESS"), reason


def test_the_operators_commands_exist() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")
    from vinn_ros.operator import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    named = set(re.findall(r"vinn-operator ([a-z-]+)", PAGE))
    assert {"reset", "start", "ready", "save-start", "clear-latch", "home"} <= named
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        assert set(re.findall(r"vinn-operator ([a-z-]+)", page.read_text())) <= known, page


def test_the_preflights_settings_exist() -> None:
    from vinn.robot.checks.preflight import PreflightConfig

    named = set(re.findall(r"`preflight\.(\w+)`", PAGE))
    assert named
    assert named <= set(PreflightConfig.model_fields)
