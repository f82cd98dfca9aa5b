"""Threads of a training that have nothing to do leave the processor to others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
if "- GCC" not in torch.__config__.show():
    pytest.skip("torch is built with another OpenMP", allow_module_level=True)


def openmp_settings(**environment: str) -> str:
    """What torch's OpenMP says that it was told, in a process that is about to train."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_WAIT")}
    done = subprocess.run(
        [sys.executable, "-c", "import vinn.learning.run"],
        env={**kept, "OMP_DISPLAY_ENV": "VERBOSE", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_they_sleep() -> None:
    said = openmp_settings()
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said
    assert "GOMP_SPINCOUNT = '0'" in said


def test_they_spin_where_the_user_says_so() -> None:
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in openmp_settings(OMP_WAIT_POLICY="ACTIVE")
