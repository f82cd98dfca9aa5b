"""What the terminal shows while the demo runs: one bar per phase, and the success so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Phase:
    """One phase of the demo, as the code that does the work sees it."""

    def __init__(self, display: DemoDisplay, name: str) -> None:
        self._display = display
        self.name = name

    def update(self, done: int, total: int) -> None:
        """So much is done."""
        self._display.update(self.name, completed=done, total=total)

    def note(self, text: str) -> None:
        """What is worth knowing now, beside the bar."""
        self._display.update(self.name, note=text)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._display.say(text)


class DemoDisplay:
    """Bars on a terminal, plain lines elsewhere (a log file keeps no bars).

    Args:
        phases: names in order; all are shown from the start.
        console: where to; None is standard output.
    """

    def __init__(self, phases: Sequence[str], console: Console | None = None) -> None:
        self._console = console or Console()
        self.durations_s: dict[str, float] = {}
        """Wall time of every phase that has ended, in order."""
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        width = max(len(name) for name in phases)
        self._tasks: dict[str, TaskID] = {
            name: self._progress.add_task(f"{name:<{width}}", total=None, start=False, note="")
            for name in phases
        }

    def __enter__(self) -> DemoDisplay:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Run a phase; its time is kept even if it fails."""
        started_s = time.monotonic()
        self._progress.start_task(self._tasks[name])
        if not self._console.is_terminal:
            self.say(f"{name} ...")
        try:
            yield Phase(self, name)
        finally:
            self.durations_s[name] = time.monotonic() - started_s
        task = self._progress.tasks[self._tasks[name]]
        total = task.total or 1
        self._progress.update(self._tasks[name], total=total, completed=total)
        if not self._console.is_terminal:
            note = f": {task.fields['note']}" if task.fields["note"] else ""
            self.say(f"{name} done in {self.durations_s[name]:.1f} s{note}")

    def update(self, phase: str, **changes: object) -> None:
        """Change a phase's bar."""
        self._progress.update(self._tasks[phase], **changes)  # type: ignore[arg-type]

    def say(self, text: str) -> None:
        """A line that stays, above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)
