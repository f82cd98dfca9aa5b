"""A robot on ROS 2 Humble (Python 3.10), and an ARM board, can install what `vinn` requires."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def resolved(tool: str, *arguments: str) -> str:
    """What a tool says; skips where there is no package index."""
    result = subprocess.run(
        [sys.executable, str(TOOLS / tool), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    if result.returncode == 3:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_robot_dependencies_resolve_for_python_3_10() -> None:
    assert "numpy==1." in resolved("check_robot_dependencies.py")


@pytest.mark.slow
def test_a_jetson_or_a_raspberry_pi_finds_wheels() -> None:
    wanted = ("robot", "console", "export", "report", "sim")
    found = resolved("check_aarch64.py", *wanted)
    assert found.splitlines() == [f"{name}: resolves" for name in wanted]


def test_an_unknown_set_is_refused_by_name() -> None:
    result = subprocess.run(
        [sys.executable, str(TOOLS / "check_aarch64.py"), "lean"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: lean: allowed: robot, ros, use, develop, ")
