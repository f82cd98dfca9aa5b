"""What the readers share: the truth about their inputs, and how they say that all was well."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def read(arguments: list[str]) -> tuple[Path, dict[str, Any]]:
    """The folder of `inputs.py`, from the command line, and its truth."""
    folder = Path(arguments[1])
    return folder, json.loads((folder / "truth.json").read_text(encoding="utf-8"))


def close(found: Any, expected: Any) -> bool:
    """Whether two nested lists of numbers have the same shape and agree to a millionth."""
    if isinstance(expected, (int, float)):
        return math.isclose(found, expected, abs_tol=1e-6)
    return len(found) == len(expected) and all(map(close, found, expected))


def works(what: str) -> None:
    """The one line that `measure.outside` reads."""
    print(f"works: {what}")
