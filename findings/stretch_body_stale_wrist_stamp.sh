#!/usr/bin/env bash
# hello-robot-stretch-body 0.7.31 (on Python 3.11): a wrist whose bus does not answer keeps new time stamps.
#
# `DynamixelXChain.pull_status` reads all motors at once (use_group_sync_read). When that read fails it
# fills in the old ticks and the present time, so `robot.get_status()["end_of_arm"][joint]` holds a frozen
# `pos` under a `timestamp_pc` that goes on: the stamp cannot tell that the wrist is gone. What counts up is
# `end_of_arm.comm_errors.status["n_gsr"]`.
#
# Output seen:
#   while the bus answers:   stamp goes on, errors 0
#   after it fell silent:    pos unchanged, stamp goes on, errors 5 in 5 reads
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --no-deps hello-robot-stretch-body==0.7.31
"$work/env/bin/pip" install -q pyserial==3.5 dynamixel-sdk numpy pyyaml click filelock 2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }
mkdir -p "$work/fleet/stretch-se3-0000" "$work/fleet/log/stretch_body_logger"
cd "$work/fleet/stretch-se3-0000"
echo '{}' > stretch_user_params.yaml
HELLO_FLEET_PATH=$work/fleet HELLO_FLEET_ID=stretch-se3-0000 "$work/env/bin/python" - <<'P'
import importlib.abc, importlib.machinery, sys, time
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
from stretch_body.end_of_arm import EndOfArm

print("hello-robot-stretch-body", version("hello-robot-stretch-body"), "Python", sys.version.split()[0])
arm_end = EndOfArm(name="eoa_wrist_dw3_tool_sg3", usb="/dev/null")
arm_end.hw_valid = True
arm_end.readers = dict.fromkeys(("pos", "vel", "effort", "temp", "hardware_error"))
for motor in arm_end.motors.values():
    motor.hw_valid = True
yaw = arm_end.motors["wrist_yaw"].status
answers = [7000]
# What the serial port would give: ticks per motor, or None where the read failed.
arm_end.sync_read = lambda reader: [answers[0]] * len(arm_end.motors) if answers[0] else None


def read(times):
    before = dict(yaw)
    errors = arm_end.comm_errors.status["n_gsr"]
    for _ in range(times):
        time.sleep(0.01)
        arm_end.pull_status()
    return before, arm_end.comm_errors.status["n_gsr"] - errors


read(1)
before, errors = read(5)
alive = yaw["timestamp_pc"] > before["timestamp_pc"] and errors == 0
print(f"while the bus answers:   stamp {'goes on' if alive else 'stands'}, errors {errors}")
answers[0] = 0
before, errors = read(5)
frozen = yaw["pos"] == before["pos"]
goes_on = yaw["timestamp_pc"] > before["timestamp_pc"]
print(
    f"after it fell silent:    pos {'unchanged' if frozen else 'changed'}, "
    f"stamp {'goes on' if goes_on else 'stands'}, errors {errors} in 5 reads"
)
sys.exit(0 if alive and frozen and goes_on and errors == 5 else 1)
P
