"""Several runs of pytest side by side that share the tests among them.

    pytest --lane=FOLDER

Every run collects all tests, takes the first group of them that no other run on FOLDER has taken,
runs it, and takes the next, until none is left. A group is a file, or all files that use one of the
fixtures that take a minute (`COSTLY`). Groups with tests marked `slow` come first, so that the runs
end at about the same time.

A run that dies has taken tests that nobody runs any more. It does not end with success, so all runs
together did not either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

COSTLY = ("door_detector",)
"""Used in several files, and a minute of a processor each time it is made."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lane",
        type=Path,
        metavar="FOLDER",
        help="run what no other run with this folder, empty at first, has taken",
    )


class Lane:
    """The part of the tests that this run takes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.taken = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed or session.config.option.collectonly:
            return None  # what pytest does then
        items = self._take(groups(session.items))
        item = next(items, None)
        while item is not None:
            # Named before the item runs: its teardown leaves what the next one uses.
            following = next(items, None)
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
            item = following
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("lane")
        session = terminalreporter._session
        count = 0 if session is None else len(session.items)
        terminalreporter.line(f"{self.taken} of {count} tests; other runs took the others")

    def _take(self, found: Sequence[tuple[str, list[pytest.Item]]]) -> Iterator[pytest.Item]:
        for name, items in found:
            try:
                (self._folder / name).touch(exist_ok=False)
            except FileExistsError:
                continue
            self.taken += len(items)
            yield from items


def pytest_configure(config: pytest.Config) -> None:
    folder: Path | None = config.option.lane
    if folder is None:
        return
    if not folder.is_dir():
        raise pytest.UsageError(f"--lane {folder}: no such folder")
    config.pluginmanager.register(Lane(folder), "lane")


def groups(items: Sequence[pytest.Item]) -> list[tuple[str, list[pytest.Item]]]:
    """Groups of tests by name, a file's name each; those with slow tests first."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    joined: dict[str, list[pytest.Item]] = {}
    slow: set[str] = set()
    for path, its in files.items():
        used = {name for item in its for name in getattr(item, "fixturenames", ())}
        # No two files of tests have the same name.
        name = next((name for name in COSTLY if name in used), path.stem)
        joined.setdefault(name, []).extend(its)
        if any(item.get_closest_marker("slow") for item in its):
            slow.add(name)
    return sorted(joined.items(), key=lambda group: group[0] not in {*COSTLY, *slow})
