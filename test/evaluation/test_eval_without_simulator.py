from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from blobs import write_blobs

BLOCKED = ("mujoco", "metaworld", "stretch_urdf", "torch", "lightning")


def vinn(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`vinn` where neither a simulator nor torch is installed."""
    program = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED!r}))
from vinn.cli.main import main
main({list(arguments)!r})
"""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_offline_errors_need_no_simulator(tmp_path: Path) -> None:
    write_blobs(tmp_path / "data", 6, 0)
    done = vinn(
        *("eval", "offline", "--train", str(tmp_path / "data"), "--methods", "random,open-loop"),
        *("--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "table3.json").exists()


def test_a_report_of_recordings_needs_no_simulator(tmp_path: Path) -> None:
    done = vinn("report", "rollouts", str(tmp_path), "--out", str(tmp_path / "report.html"))
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr and "mujoco" not in done.stderr, done.stderr


def test_trials_name_the_extra_they_need() -> None:
    done = vinn("eval", "closed-loop", "--policy", "somewhere")
    assert done.returncode == 2
    assert "pip install 'vinn[sim]'" in done.stderr
