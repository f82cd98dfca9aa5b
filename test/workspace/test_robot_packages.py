"""What `pip install vinn` brings beside ROS 2 is all that a robot's processes import."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NODES = ("wrist_camera", "vinn_policy", "stretch_executor", "rollout_supervisor", "views")
AREAS = ("demos", "camera", "encoder", "embed", "policy", "recordings", "doctor")


def _installed_with(names: list[str]) -> set[str]:
    """These distributions and everything that they require here, without extras."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        found.add(name)
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        extras = requirement.extras or {""}
        waiting.extend(
            line
            for line in map(Requirement, requires)
            if line.marker is None or any(line.marker.evaluate({"extra": e}) for e in extras)
        )
    return found


@pytest.fixture(scope="module")
def absent() -> list[str]:
    """Top-level modules that are installed here, but not on a robot."""
    lines = (ROOT / "tools/requirements/ros.txt").read_text().splitlines()
    ros = [line for line in lines if re.match(r"[\w-]+", line)]
    present = _installed_with(["vinn", "vinn-msgs", "vinn-ros", *ros])
    return sorted(
        module
        for module, owners in metadata.packages_distributions().items()
        if not present & {canonicalize_name(owner) for owner in owners} and module.isidentifier()
    )


def _on_a_robot(absent: list[str], program: str) -> subprocess.CompletedProcess[str]:
    script = (
        f"import sys, json\nsys.modules.update(dict.fromkeys(json.loads({json.dumps(absent)!r})))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script + program], capture_output=True, text=True, check=False
    )


def test_the_large_packages_are_of_extras(absent: list[str]) -> None:
    assert {"torch", "torchvision", "mujoco", "av", "matplotlib", "pycolmap", "ray"} <= set(absent)
    assert not {"numpy", "cv2", "faiss", "openvino", "pyarrow", "rclpy", "PIL"} & set(absent)


@pytest.mark.parametrize("node", [*(f"vinn_ros.nodes.{n}" for n in NODES), "vinn_ros.operator"])
def test_a_process_imports_nothing_else(absent: list[str], node: str) -> None:
    done = _on_a_robot(absent, f"import {node}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("area", AREAS)
def test_a_command_imports_nothing_else(absent: list[str], area: str) -> None:
    done = _on_a_robot(absent, f"from vinn.cli.main import main; main([{area!r}, '--help'])")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_a_mosaic_is_drawn_without_them(absent: list[str]) -> None:
    done = _on_a_robot(
        absent,
        "import numpy as np; from vinn.viz.mosaic import neighbor_mosaic\n"
        "from vinn.demos.types import ActionScale; from vinn.policies.types import Prediction\n"
        "p = Prediction(np.zeros(3), 0.0, np.full(4, 0.25), ActionScale.METRIC)\n"
        "print(neighbor_mosaic(np.zeros((8, 8, 3), np.uint8), p, None).std() > 0)\n",
    )
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["ingest", "clip.mp4", "--camera", "gopro", "--out", "x"], "ingest"),
        (["gripper", "label", "x"], "ingest"),
        (["sim", "record"], "sim"),
        (["demos", "import", "lerobot", "x", "--out", "y"], "report"),
        (["demos", "view", "."], "report"),
        (["report", "pages", "x"], "report"),
        (["replay", "x"], "report"),
        (["eval", "tables"], "report"),
        (["bench", "x", "--encoder", "y"], "report"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(
    absent: list[str], arguments: list[str], extra: str
) -> None:
    done = _on_a_robot(absent, f"from vinn.cli.main import main; main({arguments!r})")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"pip install 'vinn[{extra}]'" in done.stderr
