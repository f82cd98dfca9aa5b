"""`make` does each step of setting up once: what files hold counts, not when they changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = (
    "Makefile",
    "constraints.txt",
    "tools/requirements",
    "src/vinn/setup.cfg",
    "src/vinn/setup.py",
    "src/vinn/pyproject.toml",
    "src/vinn/package.xml",
    "src/vinn_msgs",
    "src/vinn_ros/setup.py",
    "test/fakes/control_msgs",
    "launch",
    "config",
)
# Stands for Python: it keeps what it was asked for, and an environment of its own is a copy of it.
PYTHON = """#!/bin/sh
echo "$@" >> "{log}"
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make` looks at, with a Python that only writes down what it is asked for."""
    root = tmp_path / "checkout"
    for name in NEEDED:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    (root / "python").write_text(PYTHON.format(log=tmp_path / "log"))
    (root / "tools" / "check_prerequisites.sh").write_text("#!/bin/sh\n")
    for path in ("python", "tools/check_prerequisites.sh"):
        (root / path).chmod(0o755)
    return root


def installed(checkout: Path, target: str) -> list[str]:
    """What the steps that `make` took installed, in order."""
    log = checkout.parent / "log"
    log.write_text("")
    make = ["make", "--no-print-directory", target, f"PYTHON={checkout / 'python'}"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(
        make, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in log.read_text().splitlines() if "install" in line]
    return [words[-1] for words in lines if words[-1] != "wheel"]


USE, DEVELOP = "tools/requirements/use.txt", "tools/requirements/develop.txt"
MSGS, TEST_MSGS, ROS = "./src/vinn_msgs", "./test/fakes/control_msgs", "src/vinn_ros"


def test_a_second_time_does_nothing_even_when_git_touched_every_file(checkout: Path) -> None:
    assert installed(checkout, "setup") == [USE, MSGS, ROS]
    assert installed(checkout, "setup") == []
    for path in checkout.rglob("*"):
        if ".venv" not in path.parts:
            os.utime(path, (2_000_000_000, 2_000_000_000))
    assert installed(checkout, "setup") == []


def test_from_use_to_develop_only_adds(checkout: Path) -> None:
    installed(checkout, "setup")
    assert installed(checkout, "develop") == [DEVELOP, TEST_MSGS]
    assert installed(checkout, "develop") == installed(checkout, "setup") == []


def test_develop_at_once_installs_once(checkout: Path) -> None:
    assert installed(checkout, "develop") == [DEVELOP, MSGS, ROS, TEST_MSGS]
    assert installed(checkout, "setup") == installed(checkout, "develop") == []


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ("src/vinn_msgs/msg/RolloutStatus.msg", [MSGS]),
        ("config/robot/stretch.yaml", [ROS]),
        ("src/vinn_ros/setup.py", [ROS]),
        (USE, [USE]),
        ("src/vinn/setup.cfg", [USE]),
        (DEVELOP, []),
        ("test/fakes/control_msgs/package.xml", []),
    ],
)
def test_what_changed_is_done_anew_and_nothing_else(
    changed: str, steps: list[str], checkout: Path
) -> None:
    path = checkout / changed
    assert path.is_file(), "name another file of this kind"
    installed(checkout, "setup")
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    assert installed(checkout, "setup") == steps
    assert installed(checkout, "setup") == []


def test_other_ros_wheels_build_the_messages_anew(checkout: Path) -> None:
    installed(checkout, "setup")
    pins = checkout / "constraints.txt"
    pins.write_text(pins.read_text().replace("ros-rclpy==", "ros-rclpy==1"))
    assert installed(checkout, "setup") == [USE, MSGS]


def test_a_step_that_failed_is_taken_again(checkout: Path) -> None:
    python = checkout / "python"
    sound = python.read_text()
    python.write_text(sound + 'case "$*" in *vinn_msgs*) exit 1;; esac\n')
    with pytest.raises(AssertionError):
        installed(checkout, "setup")
    shutil.copy(python, checkout / ".venv" / "bin" / "python")
    (checkout / ".venv" / "bin" / "python").write_text(sound)
    assert installed(checkout, "setup") == [MSGS, ROS]
