"""The shell commands that the project's pages show.

A page shows a command in a fenced block of `bash`, `sh`, `shell` or `console`, or in an indented
block; whatever else stands in a block is fenced with its own language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELLS = ("bash", "sh", "shell", "console")
INDENT = "    "
_NO_BLOCK = re.compile(r"([-*+] |\d+[.)] |!!! |\?\?\? )")
"""Below such a line, indented text goes on with what it began."""


@dataclass(frozen=True)
class Command:
    """One command of a page.

    Attributes:
        page: relative to the repository.
        line: where it begins, from 1.
        text: without comment, in one line.
    """

    page: str
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page with commands; those of docs/results are in its JSON files, and checked there."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for folder in ("src", "findings", "config", "examples", "docker", "measure", "tools"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def commands_of(page: Path) -> list[Command]:
    """The commands of a page, in order."""
    name = page.relative_to(ROOT).as_posix()
    return [Command(name, line, text) for line, text in _commands(page.read_text())]


def unlabelled_blocks(page: Path) -> list[int]:
    """The lines of fenced blocks without a language."""
    inside, found = False, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r"\s*```(.*)", line)
        if fence:
            if not inside and not fence[1].strip():
                found.append(number)
            inside = not inside
    return found


def _commands(text: str) -> Iterator[tuple[int, str]]:
    begun, begins = "", 0
    for number, line in _shell_lines(text):
        said = re.sub(r"(^|\s+)#(\s.*)?$", "", line).strip()
        begun, begins = (f"{begun} {said}", begins) if begun else (said, number)
        if begun.endswith("\\"):
            begun = begun[:-1].rstrip()
            continue
        for command in begun.split(" && "):
            if command:
                yield begins, command
        begun = ""


def _shell_lines(text: str) -> Iterator[tuple[int, str]]:
    fence: str | None = None
    above, block, unindented = "", False, ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*```(\w*)", line)
        if mark:
            fence = mark[1] if fence is None else None
            block = False
        elif fence is not None:
            if fence == "console":
                if line.startswith("$ "):
                    yield number, line[2:]
            elif fence in SHELLS:
                yield number, line.strip()
        elif line.startswith(INDENT):
            block = block or (not above and not _NO_BLOCK.match(unindented))
            if block:
                yield number, line.strip()
        elif line.strip():
            block, unindented = False, line
        above = line.strip()
