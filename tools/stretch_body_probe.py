"""Runs in the environment of `stretch_body_check.py`: calls of the real classes, as JSON.

A case is `joint.method(value)` of a homed joint that stands at `HERE` and has an old goal; what it
does is "nothing" (no goal was written), "lower" or "upper" (the goal is that limit), or the
distance of the new goal from where the joint stands, rounded to 0.01 (the wrist counts in ticks of
0.0015 rad; the gripper, in percent, to 1).
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import math
import os
import sys
import types
from pathlib import Path
from unittest import mock

HERE = {
    "lift": 0.5,
    "arm": 0.2,
    "wrist_yaw": 0.3,
    "wrist_pitch": -0.2,
    "wrist_roll": 0.1,
    "stretch_gripper": 20.0,
}
NAN, INF = math.nan, math.inf
TARGETS = (0.25, 999.0, -999.0, INF, NAN)
INCREMENTS = (0.0, 0.00002, 0.00003, 0.05, 999.0, NAN)
BASE = (0.0, 0.05, 99.0, INF, NAN)


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Whatever is not installed (cameras, meshes) is an empty module that takes every call."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "stretch_body":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = mock.MagicMock(name=spec.name)
        module.__spec__, module.__path__, module.__all__ = spec, [], []
        return module

    def exec_module(self, module):
        pass


def probe() -> dict[str, object]:
    """Case -> what it does."""
    names = ("prismatic_joint", "base", "wrist_yaw", "wrist_pitch", "wrist_roll")
    parts = {name: importlib.import_module(f"stretch_body.{name}") for name in names}
    gripper = importlib.import_module("stretch_body.stretch_gripper")
    robot = importlib.import_module("stretch_body.robot")
    pimu = importlib.import_module("stretch_body.pimu")
    found: dict[str, object] = {}
    for name in ("lift", "arm"):
        for method, values in (("move_to", TARGETS), ("move_by", INCREMENTS)):
            for value in values:
                case = f"{name}.{method}({value})"
                found[case] = _prismatic(parts["prismatic_joint"], name, method, value, True)
            case = f"{name}.{method}(0.1) not homed"
            found[case] = _prismatic(parts["prismatic_joint"], name, method, 0.1, False)
    for method in ("translate_by", "rotate_by"):
        for value in BASE:
            found[f"base.{method}({value})"] = _base(parts["base"], method, value)
    classes = {
        "wrist_yaw": parts["wrist_yaw"].WristYaw,
        "wrist_pitch": parts["wrist_pitch"].WristPitch,
        "wrist_roll": parts["wrist_roll"].WristRoll,
        "stretch_gripper": gripper.StretchGripper3,
    }
    for name, motor_class in classes.items():
        for method, values in (("move_to", TARGETS), ("move_by", INCREMENTS)):
            for value in values:
                case = f"{name}.{method}({value})"
                found[case] = _motor(motor_class, name, method, value)
            found[f"{name}.{method}(0.1) runstopped"] = _motor(
                motor_class, name, method, 0.1, runstopped=True
            )
    for rate_hz, seconds in ((20.0, 0.02), (20.0, 0.07)):
        case = f"pushed again after {seconds} s at {rate_hz:g} Hz"
        found[case] = _synced(robot, pimu, rate_hz, seconds)
    return found


def _classify(goal: float, here: float, limits: list[float], digits: int = 2) -> object:
    for name, limit in zip(("lower", "upper"), limits, strict=True):
        if abs(goal - limit) < 0.004:
            return name
    return round(goal - here, digits) + 0.0 if math.isfinite(goal) else str(goal)


def _prismatic(module, name: str, method: str, value: float, homed: bool) -> object:
    joint = module.PrismaticJoint(name, usb="/dev/null")
    # Arm and lift differ in how far a turn of the motor goes; metres here.
    joint.translate_m_to_motor_rad = joint.motor_rad_to_translate_m = lambda x: x
    joint.motor.status["pos_calibrated"] = homed
    joint.status["pos"] = HERE[name]
    joint.motor._dirty_command = False
    getattr(joint, method)(value)
    command = joint.motor._command
    if not joint.motor._dirty_command:
        return "nothing"
    increment = command["mode"] == joint.motor.MODE_POS_TRAJ_INCR
    goal = command["x_des"] + (HERE[name] if increment else 0.0)
    return _classify(goal, HERE[name], joint.get_soft_motion_limits())


def _base(module, method: str, value: float) -> object:
    base = module.Base(usb_left="/dev/null", usb_right="/dev/null")
    wheel = base.right_wheel
    wheel._dirty_command = False
    getattr(base, method)(value)
    if not wheel._dirty_command:
        return "nothing"
    back = base.motor_rad_to_translate if method == "translate_by" else base.motor_rad_to_rotate
    goal = back(wheel._command["x_des"])
    return round(goal, 2) if math.isfinite(goal) else str(goal)


def _motor(motor_class, name: str, method: str, value: float, runstopped: bool = False) -> object:
    joint = motor_class() if name == "stretch_gripper" else motor_class(chain=None)
    percent = name == "stretch_gripper"
    here = HERE[name]
    here_rad = joint.pct_to_world_rad(here) if percent else here
    goals: list[int] = []
    joint.motor = mock.MagicMock()
    joint.motor.get_pos.return_value = joint.world_rad_to_ticks(here_rad)
    joint.motor.get_vel.return_value = joint.motor.get_load.return_value = 0
    joint.motor.get_temp.return_value = joint.motor.get_hardware_error.return_value = 0
    joint.motor.last_comm_success = True
    joint.motor.go_to_pos.side_effect = goals.append
    joint.hw_valid = joint.is_calibrated = True
    joint.pull_status()
    joint.was_runstopped = runstopped
    getattr(joint, method)(value)
    if not goals:
        return "nothing"
    goal_rad = joint.ticks_to_world_rad(goals[-1])
    if percent:
        lower, upper = (joint.world_rad_to_pct(x) for x in joint.get_soft_motion_limits())
        return _classify(joint.world_rad_to_pct(goal_rad), here, [lower, upper], 0)
    return _classify(goal_rad, here, joint.get_soft_motion_limits())


def _synced(robot, pimu, rate_hz: float, seconds: float) -> str:
    """Whether a second push starts, so long after the first."""
    now = [1000.0]
    synced: list[float] = []
    board = types.SimpleNamespace(
        ts_last_motor_sync=None,
        ts_last_motor_sync_warn=None,
        params={"max_sync_rate_hz": rate_hz},
        status={"motor_sync_drop": 0, "motor_sync_rate": 0},
        push_command=lambda: None,
    )
    board.is_ready_for_sync = lambda: pimu.PimuBase.is_ready_for_sync(board)

    def sync() -> None:
        board.ts_last_motor_sync = now[0]
        synced.append(now[0])

    board.trigger_motor_sync = sync
    part = types.SimpleNamespace(push_command=lambda: None, is_sync_required=lambda last: True)
    joint = types.SimpleNamespace(push_command=lambda: None, motor=part)
    base = types.SimpleNamespace(push_command=lambda: None, left_wheel=part, right_wheel=part)
    fake = types.SimpleNamespace(
        lock=mock.MagicMock(),
        pimu=board,
        params={"use_asyncio": 0},
        async_event_loop=None,
        base=base,
        arm=joint,
        lift=joint,
        wacc=part,
    )
    with mock.patch.object(pimu.time, "time", lambda: now[0]):
        robot.Robot.push_command(fake)
        now[0] += seconds
        robot.Robot.push_command(fake)
    return "starts" if len(synced) == 2 else "waits"


def main() -> None:
    """Describe a robot, then run the cases; stretch_body prints, so stdout is kept for the JSON."""
    sys.meta_path.append(_Absent())
    output, sys.stdout = sys.stdout, sys.stderr
    import yaml

    params = importlib.import_module("stretch_body.robot_params_SE3")
    folder = Path(os.environ["HELLO_FLEET_PATH"]) / os.environ["HELLO_FLEET_ID"]
    (folder / "stretch_configuration_params.yaml").write_text(
        yaml.safe_dump(params.configuration_params_template | _serial_numbers(params))
    )
    json.dump({"version": sys.argv[1], "here": HERE, "cases": probe()}, output, indent=1)
    output.write("\n")


def _serial_numbers(params) -> dict[str, object]:
    robot = dict(params.configuration_params_template["robot"])
    return {"robot": robot | {"tool": "eoa_wrist_dw3_tool_sg3"}}


if __name__ == "__main__":
    main()
