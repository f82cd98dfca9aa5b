"""The workspace builds with colcon, as on a ROS 2 installation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLCON = Path(sys.prefix) / "bin" / "colcon"


@pytest.mark.slow
@pytest.mark.skipif(not COLCON.exists(), reason="colcon is not installed beside this Python")
def test_colcon_build_gives_what_ros2_run_and_launch_look_for(tmp_path: Path) -> None:
    for name in ("src", "launch", "config"):
        shutil.copytree(
            ROOT / name,
            tmp_path / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"),
        )
    environment = {
        **os.environ,
        "PATH": f"{COLCON.parent}{os.pathsep}{os.environ['PATH']}",
        "AMENT_PREFIX_PATH": sys.prefix,
        "CMAKE_PREFIX_PATH": sys.prefix,
    }
    built = subprocess.run(
        [
            str(COLCON),
            "build",
            *("--cmake-args", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}"),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr

    install = tmp_path / "install"
    share = install / "vinn_ros" / "share" / "vinn_ros"
    for directory in ("launch", "config"):
        wanted = {path.relative_to(ROOT) for path in (ROOT / directory).rglob("*.[pyx][yam]*")}
        present = {path.relative_to(share) for path in (share / directory).rglob("*.[pyx][yam]*")}
        assert {path for path in wanted if path.suffix != ".pyc"} <= present
    executables = install / "vinn_ros" / "lib" / "vinn_ros"
    assert {path.name for path in executables.iterdir()} >= {"vinn_policy", "stretch_executor"}

    # The sourced workspace answers for itself, not through the environment that runs this test.
    found = subprocess.run(
        [
            "/bin/sh",
            "-c",
            '. install/local_setup.sh && exec "$0" -c "'
            "from importlib.util import find_spec; "
            "print(*(find_spec(n).origin for n in ('vinn', 'vinn_msgs', 'vinn_ros')))"
            '"',
            sys.executable,
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    origins = found.stdout.split()
    assert len(origins) == 3
    assert all(Path(origin).is_relative_to(tmp_path) for origin in origins)
