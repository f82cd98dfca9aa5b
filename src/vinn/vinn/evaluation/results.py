"""Measured figures: one JSON file per subject, and a Markdown twin made from it.

    results = Results("foundation", "make demo")
    results.add("doors opened", 29, "of 30", goal=">= 27")
    results.add("encode, median", 21.4, "ms")
    results.write(Path("docs/results"))

A missed goal stays in the file with `met` false. A figure without a goal is reported only.
"""

from __future__ import annotations

import json
import math
import operator
import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from vinn.errors import ConfigError
from vinn.evaluation.provenance import running_command, running_commit
from vinn.reading.documents import read_json
from vinn.viz.output import write_text

Value = float | int | bool | str

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_GOAL = re.compile(r"(>=|<=|==|>|<)\s*(\S+)")
_AND, _TO = " && ", " to "
_COLUMNS = ("name", "value", "unit", "goal", "met")
_ORIGIN = ("command", "commit", "machine")


@dataclass(frozen=True)
class Row:
    """One figure. `goal` is a comparison such as `>= 27`, or None for a figure only reported."""

    name: str
    value: Value
    unit: str
    goal: str | None
    met: bool
    command: str = ""
    """The command line that measured it; empty: before this was kept."""
    commit: str = ""
    """Of the code that measured it; see `vinn.evaluation.provenance`."""
    machine: str = ""
    """Where it was measured; empty: where the file says."""


def meets(value: Value, goal: str) -> bool:
    """Whether a value meets a goal: `>=`, `<=`, `>`, `<` or `==`, then a number or true / false.

    NaN meets nothing.

    Raises:
        ConfigError: the goal is not such a comparison, or the value cannot be compared.
    """
    match = _GOAL.fullmatch(goal.strip())
    if match is None:
        raise ConfigError(f"goal {goal!r}: must be >=, <=, ==, > or < and a number, as in '>= 27'")
    if isinstance(value, str):
        raise ConfigError(f"value {value!r} with goal {goal!r}: only numbers can have a goal")
    sign, text = match.groups()
    try:
        limit = {"true": True, "false": False}.get(text)
        return bool(_COMPARISONS[sign](value, float(text) if limit is None else limit))
    except ValueError:
        raise ConfigError(f"goal {goal!r}: {text!r} is not a number, true or false") from None


class Results:
    """The figures of one subject.

    Args:
        name: file name without ending: letters, digits, `-` and `_`.
        command: what to run to measure them again.
        machine: where they were measured; None describes this machine.
        day: when, as ISO date; None is today.
        of_kept: made of trials that other processes may have measured, at other commits: a row's
            command is `command` then, and its commit what `add` is told.
    """

    def __init__(
        self,
        name: str,
        command: str,
        machine: str | None = None,
        day: str | None = None,
        of_kept: bool = False,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ConfigError(f"results name {name!r}: allowed are letters, digits, '-' and '_'")
        self.name = name
        self.command = command
        self.machine = self._here = describe_machine() if machine is None else machine
        self.date = date.today().isoformat() if day is None else day
        self._of_kept = of_kept
        self._rows: dict[str, Row] = {}

    @classmethod
    def continued(cls, directory: Path, name: str, command: str) -> Results:
        """The results to add to: those in `directory` (`NAME.json`), or new ones.

        Their command and date name all that was run, and when. What is added on another machine
        than theirs says so: figures of two are compared by nobody who was not told.

        Raises:
            ConfigError: those there are malformed.
        """
        path = directory / f"{name}.json"
        fresh = cls(name, command)
        if not path.exists():
            return fresh
        found = cls.read(path)
        found._here = fresh.machine
        parts = [*found.command.split(_AND), *command.split(_AND)]
        found.command = _AND.join(dict.fromkeys(parts))
        first = found.date.partition(_TO)[0]
        found.date = fresh.date if first == fresh.date else first + _TO + fresh.date
        return found

    @property
    def rows(self) -> tuple[Row, ...]:
        """All figures, in the order they were first added."""
        return tuple(self._rows.values())

    @property
    def missed(self) -> tuple[Row, ...]:
        """Figures that missed their goal."""
        return tuple(row for row in self.rows if not row.met)

    def add(
        self, name: str, value: Value, unit: str = "", goal: str | None = None, commit: str = ""
    ) -> Row:
        """Add a figure, or replace the one of this name.

        Args:
            name: of the figure.
            value: number, truth or words.
            unit: and whatever else belongs beside the value.
            goal: a comparison; None: only reported.
            commit: of kept trials; empty: not known.

        Raises:
            ConfigError: the goal is no comparison (see `meets`).
        """
        met = True if goal is None else meets(value, goal)
        origin = (self.command, commit) if self._of_kept else (running_command(), running_commit())
        row = Row(name, value, unit, goal, met, *origin, self._elsewhere())
        self._rows[name] = row
        return row

    def _elsewhere(self) -> str:
        return "" if self._here == self.machine else self._here

    def forget(self, prefix: str) -> None:
        """Drop the figures whose names begin so: a part that is measured anew may name others."""
        self._rows = {name: row for name, row in self._rows.items() if not name.startswith(prefix)}

    def keep(self, row: Row) -> None:
        """Take a figure over as it was measured, with the command and commit that measured it."""
        self._rows[row.name] = row

    def write(self, directory: Path) -> Path:
        """Write `NAME.json` and `NAME.md` atomically; returns the path of the JSON file."""
        content = {
            "command": self.command,
            "machine": self.machine,
            "date": self.date,
            "rows": [_as_json(row) for row in self.rows],
        }
        path = directory / f"{self.name}.json"
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        write_text(path.with_suffix(".md"), self.markdown())
        return path

    def markdown(self) -> str:
        """The figures as a Markdown page."""
        machines = list(dict.fromkeys(row.machine for row in self.rows if row.machine))
        marks = {machine: f" [{number + 1}]" for number, machine in enumerate(machines)}
        lines = [
            f"# {self.name.replace('-', ' ').replace('_', ' ').capitalize()}",
            "",
            f"Made from `{self.name}.json`. Measured {self.date} on {self.machine} by",
            "",
            f"    {self.command}",
            "",
            *(f"Marked{mark}: measured on {machine}.\n" for machine, mark in marks.items()),
            "| figure | value | unit | goal | met |",
            "|---|---:|---|---|---|",
        ]
        for row in self.rows:
            met = "" if row.goal is None else "yes" if row.met else "**no**"
            name = row.name + marks.get(row.machine, "")
            cells = (name, format_value(row.value), row.unit, row.goal or "", met)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines) + "\n"

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file written by `write`.

        Raises:
            ConfigError: missing or malformed, naming the file and what is wrong.
        """
        content = read_json(path, ConfigError)
        try:
            results = cls(path.stem, content["command"], content["machine"], content["date"])
            for fields in content["rows"]:
                origin = {column: fields.get(column, "") for column in _ORIGIN}
                row = Row(**{column: fields[column] for column in _COLUMNS}, **origin)
                if row.value is None:
                    row = replace(row, value=math.nan)
                results._rows[row.name] = row
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{path}: results lack {error}") from None
        return results


def format_value(value: Value) -> str:
    """A value for people: four significant digits, yes / no for booleans."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def describe_machine() -> str:
    """Processor, cores, memory and versions; neither host name nor paths."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{cores} x {_processor()}"]
    if hasattr(os, "sysconf"):
        memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        parts.append(f"{memory_gib:.0f} GiB")
    parts.append(f"{platform.system()} {platform.machine()}")
    parts.append(f"Python {platform.python_version()}")
    return ", ".join(parts)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else platform.processor() or "CPU"


def _as_json(row: Row) -> dict[str, Any]:
    fields = {**asdict(row), "value": _jsonable(row.value)}
    if not row.machine:
        del fields["machine"]
    return fields


def _jsonable(value: Value) -> Value | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
