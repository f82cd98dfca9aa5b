"""Write the signatures of stretch_body that the driver stands on, read from its wheel.

Usage:
    pip download --no-deps hello-robot-stretch-body
    python tools/stretch_body_signatures.py hello_robot_stretch_body-*.whl \\
        > test/fakes/robot/stretch_body_signatures.json

Nothing of the wheel is run or installed: its sources are parsed.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from pathlib import Path

METHODS = {
    "robot.Robot": (
        "startup",
        "stop",
        "get_status",
        "push_command",
        "is_homed",
        "home",
        "stow",
        "enable_collision_mgmt",
    ),
    "prismatic_joint.PrismaticJoint": ("move_to", "move_by", "get_soft_motion_limits"),
    "base.Base": ("translate_by", "rotate_by", "enable_pos_incr_mode"),
    "end_of_arm.EndOfArm": ("move_to", "move_by", "get_joint"),
    "dynamixel_hello_XL430.DynamixelHelloXL430": (
        "get_soft_motion_limits",
        "pull_status",
        "quick_stop",
        "move_to",
        "move_by",
    ),
    "pimu.PimuBase": ("runstop_event_trigger", "runstop_event_reset"),
}
"""Module and class -> its methods."""


def signatures(wheel: Path) -> dict[str, object]:
    """Version, and per class the parameters of each method as source text (without self)."""
    with zipfile.ZipFile(wheel) as archive:
        classes = {
            name: _methods(archive.read(f"stretch_body/{name.partition('.')[0]}.py"), name, wanted)
            for name, wanted in METHODS.items()
        }
    return {"version": wheel.name.split("-")[1], "classes": classes}


def _methods(source: bytes, name: str, wanted: tuple[str, ...]) -> dict[str, str]:
    class_name = name.partition(".")[2]
    tree = ast.parse(source)
    (definition,) = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name
    ]
    found = {
        node.name: ", ".join(_parameters(node.args))
        for node in definition.body
        if isinstance(node, ast.FunctionDef) and node.name in wanted
    }
    missing = set(wanted) - set(found)
    if missing:
        raise SystemExit(f"{name}: no {', '.join(sorted(missing))}")
    return found


def _parameters(arguments: ast.arguments) -> list[str]:
    names = [argument.arg for argument in arguments.args[1:]]
    defaults = [ast.unparse(default) for default in arguments.defaults]
    first = len(names) - len(defaults)
    return [name if i < first else f"{name}={defaults[i - first]}" for i, name in enumerate(names)]


if __name__ == "__main__":
    print(json.dumps(signatures(Path(sys.argv[1])), indent=1))
