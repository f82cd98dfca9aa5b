"""A driver of one's own, which only prints: python examples/07_own_driver.py --ros-args ...

Starts the executor with it. No robot moves: what is sent counts as reached.
"""

import sys
import time
from dataclasses import asdict, replace

from vinn.robot.config import StartPose
from vinn.robot.types import JointLimits, JointRange, RobotState
from vinn_ros.drivers.driver import Driver
from vinn_ros.drivers.registry import DRIVERS


class PrintingDriver:
    interrupted = False

    def __init__(self, node, settings):
        base = {"base_x_m": 0.0, "base_y_m": 0.0, "base_theta_rad": 0.0}
        pose = {**StartPose().model_dump(), **base, "gripper_aperture_m": 0.09}
        self.reading = RobotState(steady_s=0.0, **pose)

    def start(self, config):
        print("would take the robot")

    def stop(self):
        print("would let go of the robot")

    def state(self):
        return replace(self.reading, steady_s=self.now_s())

    def limits(self):
        wrist, gripper = JointRange(-3.0, 3.0), JointRange(-0.05, 0.1)
        lift, arm = JointRange(0.0, 1.1), JointRange(0.0, 0.5)
        return JointLimits(lift, arm, wrist, wrist, wrist, gripper)

    def now_s(self):
        return time.monotonic()

    def send(self, command):
        print(command)
        joints = {k: v for k, v in asdict(command).items() if hasattr(self.reading, k)}
        moved_m = self.reading.base_x_m + command.base_translate_m
        self.reading = replace(self.reading, base_x_m=moved_m, **joints)
        return command

    def hold(self):
        print("would hold")

    def wait(self, seconds):
        time.sleep(min(seconds, 0.02))


DRIVER = Driver("printing", PrintingDriver)

if __name__ == "__main__":
    DRIVERS.add(DRIVER)
    from vinn_ros.executor.node import main

    sys.argv += ["--ros-args", "-p", "driver:=printing"]
    main()
