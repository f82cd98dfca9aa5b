"""Files of trials, a line each, written as they end: a killed run goes on with the next one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vinn.errors import ConfigError
from vinn.reading.regular import parsing, read_bytes


def read_trials(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a file of trials; without what a killed run left torn.

    Raises:
        ConfigError: it is no file of trials.
    """
    if not path.exists():
        return []
    content = read_bytes(path, ConfigError)
    whole = content[: content.rfind(b"\n") + 1]
    with parsing(path, ConfigError, "trials"):
        return [json.loads(line) for line in whole.splitlines()]


def cut_torn_trial(path: Path) -> None:
    """Remove what a killed run left of a line. Only for the process that writes the file."""
    if path.exists():
        content = read_bytes(path, ConfigError)
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def append_trial(path: Path, content: Mapping[str, object]) -> None:
    """Add a line; the file and its folder are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(json.dumps(content).encode() + b"\n")
