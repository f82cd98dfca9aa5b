from __future__ import annotations

import re

import pytest
from vinn.cli.main import run


@pytest.mark.parametrize(
    "command",
    [
        ["ingest"],
        *(["gripper", name] for name in ("mask", "label", "train", "apply")),
        *(["demos", name] for name in ("import", "export", "view")),
    ],
    ids=" ".join,
)
def test_help_says_what_the_command_does_and_swallows_no_unit(
    command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--help"]) == 0
    text = capfd.readouterr().out
    assert "Usage: vinn " + " ".join(command) in text and "--help" in text
    assert "COMMAND" not in text
    # "[s]" is markup to rich: it leaves "begins .".
    assert not re.search(r"\w \.", text)
