"""Which of several installations of vinn_ros gives the configuration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")

from vinn.robot.config import load_robot_config
from vinn_ros.bringup import graph

from vinn_ros import paths

SHIPPED = Path(__file__).parents[3] / "config"
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


@pytest.fixture(autouse=True)
def _no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROFILES:
        monkeypatch.delenv(name, raising=False)


def a_workspace(folder: Path, step_cap_m: float) -> Path:
    """A prefix as colcon installs one, its robot file edited; returns the prefix."""
    prefix = folder / "install/vinn_ros"
    shutil.copytree(SHIPPED, prefix / "share/vinn_ros/config")
    index = prefix / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    (index / "vinn_ros").touch()
    robot = prefix / "share/vinn_ros/config/robot/stretch.yaml"
    text = robot.read_text()
    assert "\n  scale:" in text
    robot.write_text(text.replace("\n  scale:", f"\n  step_cap_m: {step_cap_m}\n  scale:"))
    return prefix


def source(monkeypatch: pytest.MonkeyPatch, *prefixes: Path | str) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(map(str, prefixes)))


def step_cap_m() -> float:
    return load_robot_config(
        paths.config_file("robot/stretch.yaml", "robot_config")
    ).motion.step_cap_m


@pytest.mark.parametrize("environment_first", [False, True])
def test_a_sourced_workspace_wins_wherever_the_environment_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment_first: bool
) -> None:
    prefix = a_workspace(tmp_path, 0.02)
    order = [sys.prefix, prefix] if environment_first else [prefix, sys.prefix]
    source(monkeypatch, *order)
    assert step_cap_m() == 0.02
    assert Path(graph.dds_profile()).is_relative_to(prefix)
    assert all(
        file.is_relative_to(prefix) for file in graph.door_opening("real", "")[0].parameter_files
    )


def test_the_topmost_of_two_workspaces_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, under = a_workspace(tmp_path / "over", 0.01), a_workspace(tmp_path / "under", 0.03)
    source(monkeypatch, over, under)
    assert step_cap_m() == 0.01
    source(monkeypatch, under, over)
    assert step_cap_m() == 0.03


def test_a_prefix_without_the_package_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(monkeypatch, tmp_path / "gone", tmp_path, a_workspace(tmp_path / "w", 0.04), "")
    assert step_cap_m() == 0.04


def test_without_a_workspace_the_checkout_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    source(monkeypatch, sys.prefix)
    assert paths.config_directory() == SHIPPED.resolve()
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    assert paths.config_directory() == SHIPPED.resolve()


def test_a_profile_that_the_user_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(monkeypatch, a_workspace(tmp_path, 0.02))
    for name in PROFILES:
        monkeypatch.setenv(name, "/mine.xml")
    assert graph.dds_profile() == "/mine.xml"


@pytest.mark.ros
def test_the_doctor_says_which_files_are_in_use(tmp_path: Path) -> None:
    prefix = a_workspace(tmp_path, 0.02)
    done = subprocess.run(
        [sys.executable, "-m", "vinn_ros.doctor", "--json", "--listen", "0.5"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=os.environ
        | {"AMENT_PREFIX_PATH": str(prefix), PROFILES[0]: str(tmp_path / "none.xml")},
    )
    assert done.stdout, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    config = prefix / "share/vinn_ros/config"
    assert checks["configuration"]["message"] == str(config)
    assert checks["robot file"]["message"] == str(config / "robot/stretch.yaml")
    assert checks["rollout file"]["message"] == str(config / "robot/rollout.yaml")
    assert checks["code"]["message"].endswith("vinn_ros")
    profile = checks["Fast DDS profile"]
    assert (profile["verdict"], profile["reason"]) == ("failed", "NOT_READY")
    assert "none.xml: no such file" in profile["message"]
