"""README's figures are those of docs/results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_made_from_the_results() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "readme_results.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_first_screen_says_that_no_robot_has_run_it() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:25]
    assert any("No real robot has run it yet" in line for line in first_screen)
