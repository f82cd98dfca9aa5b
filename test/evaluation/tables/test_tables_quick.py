"""`vinn eval tables --quick` from recording to tables, on all tasks.

Without the rows that learn a head, which have their own tests; and two tasks are recorded at a
time, to be quicker.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from vinn.cli.eval.tables import QUICK_CHECKS
from vinn.cli.main import run
from vinn.paper.offline.config import load_tables_config
from vinn.tasks.registry import TASKS

ROWS = "random,open-loop,imagenet,vinn"


def record(task: str, data: Path) -> None:
    settings = load_tables_config("quick").record
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    command = ["tasks", "record", task, "--out", str(data), *words]
    program = f"from vinn.cli.main import main; main({command!r})"
    subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.physics
def test_retrieval_beats_random_and_open_loop_on_every_task(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda task: record(task, work / "data"), TASKS))
    assert run(["eval", "tables", "--quick", "--methods", ROWS, "--work", str(work)]) == 0
    out = work / "results"
    rows = json.loads((out / "table3.json").read_text())["rows"]
    checks = [row for row in rows if ": error of" in row["name"]]
    assert len(checks) == len(QUICK_CHECKS) * len(TASKS)
    assert all(row["met"] for row in checks), checks
    for task in TASKS:
        assert (out / f"figure3-{task}.jpg").stat().st_size > 10_000
    assert "| VINN (BYOL + NN) |" in (out / "table3-side-by-side.md").read_text()
