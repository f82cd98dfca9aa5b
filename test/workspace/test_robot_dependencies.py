"""A robot on ROS 2 Humble (Python 3.10) can install what `vinn` requires."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "check_robot_dependencies.py"


def test_robot_dependencies_resolve_for_python_3_10() -> None:
    result = subprocess.run(
        [sys.executable, str(TOOL)], capture_output=True, text=True, check=False, timeout=300
    )
    if result.returncode == 3:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr
    assert "numpy==1." in result.stdout
