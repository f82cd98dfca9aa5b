"""What imports what: the layers of `vinn`, and what a robot's processes must do without."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"

# A robot installs none of these: training, simulation, and what only the development needs.
NOT_ON_A_ROBOT = {"torch", "torchvision", "mujoco", "pytest", "skimage", "scipy"}
# The library knows no ROS.
ROS = {"rclpy", "vinn_msgs", "vinn_ros", "sensor_msgs", "std_msgs"}


def modules_after(statement: str) -> set[str]:
    """Top-level modules that are loaded once a fresh interpreter has run `statement`."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return {name.partition(".")[0] for name in json.loads(result.stdout.splitlines()[-1])}


def test_import_contract() -> None:
    result = subprocess.run(
        [str(LINT_IMPORTS), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "module",
    [
        "vinn_ros.policy.node",
        "vinn_ros.executor.node",
        "vinn_ros.supervisor.node",
        "vinn_ros.camera.node",
        "vinn_ros.bringup.command",
        "vinn_ros.operator",
    ],
)
def test_robot_process_needs_neither_torch_nor_simulation(module: str) -> None:
    assert modules_after(f"import {module}") & NOT_ON_A_ROBOT == set()


@pytest.mark.parametrize(
    "module", ["vinn.policies.artefact", "vinn.robot.executor", "vinn.rollout.loop"]
)
def test_library_at_run_time_needs_neither_torch_nor_simulation_nor_ros(module: str) -> None:
    assert modules_after(f"import {module}") & (NOT_ON_A_ROBOT | ROS) == set()


def test_the_simulation_is_what_loads_mujoco() -> None:
    """The check above can see what it looks for."""
    assert "mujoco" in modules_after("import vinn.sim.world")
