"""Figures say which command line of which commit measured them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from pathlib import Path
from vinn.evaluation.results import Results
results = Results("figures", "run me")
results.add("one", 1.5, "m")
results.write(Path(sys.argv[1]))
"""


def test_a_row_carries_the_command_line_and_the_commit(tmp_path: Path) -> None:
    script = tmp_path / "measure_me.py"
    script.write_text(SCRIPT)
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, str(script), str(out), f"--work={tmp_path}/elsewhere", "--n", "3"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    row = json.loads((out / "figures.json").read_text())["rows"][0]
    assert row["command"] == "measure_me.py out --work=elsewhere --n 3"
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    assert row["commit"].rstrip("+") == head


def test_a_module_is_named_as_it_was_started(tmp_path: Path) -> None:
    package = tmp_path / "measure_it"
    package.mkdir()
    where = "from vinn.evaluation.provenance import running_command as r; print(r())"
    (package / "__main__.py").write_text(where)
    done = subprocess.run(
        [sys.executable, "-m", "measure_it", "/somewhere/else/out"],
        cwd=tmp_path,
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "python -m measure_it out"


def test_nothing_that_is_committed_names_a_place_on_a_machine() -> None:
    for path in (ROOT / "docs" / "results").glob("*.json"):
        for row in json.loads(path.read_text()).get("rows", []):
            assert not re.search(r"(^|[ =])/(home|root|tmp|work)/", str(row.get("command", "")))
