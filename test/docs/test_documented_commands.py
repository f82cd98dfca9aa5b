"""Every command of the manual is one of today, and is run here or is said why not."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import stand
from command_lines import check
from decisions import NOT_RUN, RUN, is_run, reason_not_to_run, smaller
from documented import ROOT, Command, commands_of, pages, unlabelled_blocks
from vinn.cli.console import err, out

COMMANDS = [command for page in pages() for command in commands_of(page)]
TO_RUN = [c for c in COMMANDS if is_run(c.text) and reason_not_to_run(c.text) is None]


def test_there_are_many() -> None:
    assert len(COMMANDS) > 100 and len(TO_RUN) > 30


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_say_what_they_are(page: Path) -> None:
    assert unlabelled_blocks(page) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.place)
def test_a_command_is_one_of_today(command: Command) -> None:
    check(command.text)


def test_each_command_is_run_or_is_said_why_not() -> None:
    undecided = [
        f"{command.place}: {command.text}"
        for command in COMMANDS
        if reason_not_to_run(command.text) is None and not is_run(command.text)
    ]
    assert undecided == [], "decide in test/docs/decisions.py"


@pytest.mark.parametrize("pattern", [*RUN, *(pattern for pattern, _ in NOT_RUN)])
def test_each_decision_is_about_something(pattern: str) -> None:
    assert any(re.match(pattern, command.text) for command in COMMANDS)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stand") / "made"
    stand.make(folder)
    return folder


@pytest.mark.physics
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", sorted({command.page for command in TO_RUN}))
def test_the_commands_of_a_page_do_what_they_say(made: Path, tmp_path: Path, page: str) -> None:
    folder = tmp_path / "here"
    shutil.copytree(made, folder, symlinks=True)
    for command in TO_RUN:
        if command.page == page:
            done = stand.run(smaller(command.text), folder)
            assert done.returncode == 0, f"{command.place}: {command.text}\n{done.stderr}"
            for made_here in re.findall(r"(?:--out(?:-policy)?|>) (\S+)", smaller(command.text)):
                assert (folder / made_here).exists() or made_here.startswith("~"), command.place


def test_looking_at_a_command_leaves_the_consoles_alone() -> None:
    """They write to whatever the standard streams are at the time: a test's capture, here."""
    check("vinn policy info policy")
    assert (err.file, out.file) == (sys.stderr, sys.stdout)
