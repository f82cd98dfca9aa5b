#!/usr/bin/env bash
# hello-robot-stretch-body 0.7.31 (with dynamixel-sdk, on Python 3.11): an increment of zero does not stop
# a wrist motor, and NaN is a target for the arm.
#
# `end_of_arm.move_by(joint, 0.0)` writes nothing for a distance up to 0.00002 rad ("avoid drift"): a wrist
# that turns goes on to its old goal, although lift, arm, base and gripper do stop on an increment of zero.
# `arm.move_to(nan)` drives to the lower limit (Python's max and min with NaN), while the wrist drops NaN;
# `base.translate_by(inf)` is queued as it is. Nothing raises.
#
# Output seen:
#   wrist_yaw move_by(0.0): goals written: 0
#   wrist_yaw move_by(2e-05): goals written: 0
#   wrist_yaw move_by(3e-05): goals written: 1
#   wrist_yaw move_to(here): goals written: 1
#   stretch_gripper move_by(0.0): goals written: 1
#   arm move_to(nan): target 0.0 m, its lower limit
#   base translate_by(inf): increment inf rad
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --no-deps hello-robot-stretch-body==0.7.31
"$work/env/bin/pip" install -q pyserial==3.5 dynamixel-sdk numpy pyyaml click filelock 2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }
mkdir -p "$work/fleet/stretch-se3-0000" "$work/fleet/log/stretch_body_logger"
cd "$work/fleet/stretch-se3-0000"
echo '{}' > stretch_user_params.yaml
HELLO_FLEET_PATH=$work/fleet HELLO_FLEET_ID=stretch-se3-0000 "$work/env/bin/python" - <<'P'
import importlib.abc, importlib.machinery, math, sys
from importlib.metadata import version
from unittest import mock


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Cameras, meshes and plots are not needed here: empty modules."""

    def find_spec(self, name, path=None, target=None):
        own = name.partition(".")[0] == "stretch_body"
        return None if own else importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = mock.MagicMock(name=spec.name)
        module.__spec__, module.__path__, module.__all__ = spec, [], []
        return module

    def exec_module(self, module):
        pass


sys.meta_path.append(Absent())
import yaml
from stretch_body.robot_params_SE3 import configuration_params_template as factory

factory["robot"]["tool"] = "eoa_wrist_dw3_tool_sg3"
with open("stretch_configuration_params.yaml", "w") as file:
    yaml.safe_dump(factory, file)
from stretch_body.base import Base
from stretch_body.prismatic_joint import PrismaticJoint
from stretch_body.stretch_gripper import StretchGripper3
from stretch_body.wrist_yaw import WristYaw

print("hello-robot-stretch-body", version("hello-robot-stretch-body"), "Python", sys.version.split()[0])


def goals(motor, method, value):
    """How many goals a call writes to a motor whose serial port is a notebook."""
    motor.motor = mock.MagicMock(last_comm_success=True)
    motor.motor.get_pos.return_value = motor.world_rad_to_ticks(0.3)
    for read in ("get_vel", "get_load", "get_temp", "get_hardware_error"):
        getattr(motor.motor, read).return_value = 0
    motor.hw_valid = motor.is_calibrated = True
    motor.pull_status()
    getattr(motor, method)(value)
    count = motor.motor.go_to_pos.call_count
    print(f"{motor.name} {method}({'here' if method == 'move_to' else value}): goals written: {count}")
    return count


seen = [
    goals(WristYaw(), "move_by", 0.0) == 0,
    goals(WristYaw(), "move_by", 0.00002) == 0,
    goals(WristYaw(), "move_by", 0.00003) == 1,
    goals(WristYaw(), "move_to", 0.3) == 1,
    goals(StretchGripper3(), "move_by", 0.0) == 1,
]
arm = PrismaticJoint("arm", usb="/dev/null")
arm.translate_m_to_motor_rad = lambda metres: metres
arm.motor.status["pos_calibrated"] = True
arm.move_to(math.nan)
target = arm.motor._command["x_des"]
lowest = target == arm.get_soft_motion_limits()[0]
print(f"arm move_to(nan): target {target} m, {'its lower limit' if lowest else 'not its lower limit'}")
base = Base(usb_left="/dev/null", usb_right="/dev/null")
base.translate_by(math.inf)
increment = base.left_wheel._command["x_des"]
print(f"base translate_by(inf): increment {increment} rad")
sys.exit(0 if all(seen) and lowest and increment == math.inf else 1)
P
