"""What only measures: every command of `measure` starts, and says what it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OF_OTHERS = ("act/network.py", "lerobot/check.py", "robustness/foreign_messages.py")
"""Run by another one, in another environment or with its inputs."""


def commands() -> list[str]:
    found = []
    for path in sorted((ROOT / "measure").rglob("*.py")):
        inside = path.relative_to(ROOT)
        if '__name__ == "__main__"' not in path.read_text():
            continue
        if inside.relative_to("measure").as_posix() not in OF_OTHERS:
            found.append(".".join(inside.with_suffix("").parts).removesuffix(".__main__"))
    return found


@pytest.mark.parametrize("command", commands())
def test_a_measurement_says_what_it_takes(command: str) -> None:
    pytest.importorskip("rclpy", reason="some measure nodes")
    done = subprocess.run(
        [sys.executable, "-m", command, "--help"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout.lower()
