"""What the rows of the fault table measured: printed, kept for the results, and asserted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml
from vinn.evaluation.provenance import running_commit
from vinn.evaluation.results import meets

OUT_VARIABLE = "VINN_FAULTS_OUT"
NOISE_VARIABLE = "VINN_FAULTS_NOISE_FACTOR"

LIMITS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "limits.yaml").read_text(encoding="utf-8")
)


def noise_factor() -> float:
    return float(os.environ.get(NOISE_VARIABLE) or LIMITS["noise_factor"])


def measuring() -> bool:
    """Whether figures are kept for the results: the nodes run as shipped."""
    return bool(os.environ.get(OUT_VARIABLE))


def patience() -> float:
    """How many times their shipped patience the watchdogs get."""
    return 1.0 if measuring() else float(LIMITS["patience"])


class Measure:
    """One row's figures. A time is asserted with the noise factor, everything else as it is."""

    def __init__(self, row: int) -> None:
        self._row = row

    def time(self, what: str, seconds: float, limit: str, of: float = 1.0) -> None:
        """A time that may be `of` times the limit of that name."""
        limit_s = of * LIMITS[limit]
        self._keep(what, round(seconds, 4), "s", f"<= {limit_s:g}")
        allowed_s = limit_s * noise_factor()
        assert seconds <= allowed_s, f"row {self._row}, {what}: {seconds:.3f} s > {allowed_s:g} s"

    def value(self, what: str, value: float | int, unit: str, goal: str | None) -> None:
        """A count, distance or share with its goal, or one that is only reported (None)."""
        self._keep(what, value, unit, goal)
        assert goal is None or meets(value, goal), f"row {self._row}, {what}: {value} not {goal}"

    def _keep(self, what: str, value: float | int, unit: str, goal: str | None) -> None:
        if isinstance(value, float):
            value = float(f"{value:.6g}")
        entry = {"row": self._row, "what": what, "value": value, "unit": unit, "goal": goal}
        entry["commit"] = running_commit()
        line = json.dumps(entry)
        print(f"FAULT {line}")
        out = os.environ.get(OUT_VARIABLE)
        if out:
            with Path(out).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
