"""A stand-in for `stretch_body.robot.Robot`: the same methods and signatures, joints that move.

`test/robot/test_stretch_body_driver.py` holds the signatures against those of the real package
(`stretch_body_signatures.json`, made by `tools/stretch_body_signatures.py`). Quirks kept: commands
to lift, arm and base wait for `push_command`, the wrist obeys at once; joints that are not homed,
NaN for the wrist and everything while runstopped are dropped without a word; targets are clipped.

    robot = FakeStretchBody()            # robot.joints: stretch_joints.StretchJoints
    robot.homed = False                  # robot.runstopped, robot.silent, robot.busy, robot.missing
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import stretch_joints as sj
from stretch_joints import StretchJoints

_MOTORS = {
    "wrist_yaw": sj.YAW,
    "wrist_pitch": sj.PITCH,
    "wrist_roll": sj.ROLL,
    "stretch_gripper": sj.GRIPPER,
}


class FakeStretchBody:
    """The robot."""

    def __init__(self, dex_wrist: bool = True) -> None:
        self.joints = StretchJoints(pace=4.0)
        self.homed = True
        self.runstopped = False
        self.busy = False
        """Another process has the robot."""
        self.silent = False
        """Its threads read nothing any more: time stamps stand still."""
        self.missing: set[str] = set()
        """Joints of the arm's end that the status lacks."""
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.collision_management = False
        self.lift = _Prismatic(self, sj.LIFT)
        self.arm = _Prismatic(self, sj.ARM)
        self.base = _Base(self)
        self.pimu = _Pimu(self)
        self.end_of_arm = _EndOfArm(self, dex_wrist)
        self.queue: list[Callable[[], None]] = []
        self._advanced_s = time.monotonic()
        self._stamp = time.time()

    def startup(
        self, start_non_dxl_thread=True, start_dxl_thread=True, start_sys_mon_thread=True
    ) -> bool:
        return not self.busy

    def stop(self) -> None:
        self.calls.append(("stop", ()))

    def get_status(self) -> dict[str, Any]:
        now_s = time.monotonic()
        if not self.runstopped:
            self.joints.advance(now_s - self._advanced_s)
        self._advanced_s = now_s
        if not self.silent:
            self._stamp = time.time()
        position, (x, y, theta) = self.joints.snapshot()
        end_of_arm: dict[str, Any] = {}
        for name in self.end_of_arm.joints:
            if name not in self.missing:
                value = position[_MOTORS[name]]
                end_of_arm[name] = {"pos": value, "timestamp_pc": self._stamp}
        if "stretch_gripper" in end_of_arm:
            percent = sj.aperture_to_percent(position[sj.GRIPPER])
            end_of_arm["stretch_gripper"]["pos_pct"] = percent
        return {
            "lift": {"pos": position[sj.LIFT], "timestamp_pc": self._stamp},
            "arm": {"pos": position[sj.ARM], "timestamp_pc": self._stamp},
            "base": {"x": x, "y": y, "theta": theta},
            "end_of_arm": end_of_arm,
            "pimu": {"runstop_event": self.runstopped, "voltage": 12.6},
        }

    def push_command(self) -> None:
        queue, self.queue = self.queue, []
        if not self.runstopped:
            for command in queue:
                command()

    def is_homed(self) -> bool:
        return self.homed

    def home(self) -> None:
        self.homed = True

    def stow(self) -> None:
        self.calls.append(("stow", ()))

    def enable_collision_mgmt(self) -> None:
        self.collision_management = True

    def log(self, what: str, *values: Any) -> None:
        """Remember a motion command."""
        self.calls.append((what, values))


class _Prismatic:
    def __init__(self, robot: FakeStretchBody, joint: str) -> None:
        self._robot, self._joint = robot, joint

    def get_soft_motion_limits(self) -> list[float]:
        return list(sj.LIMITS[self._joint])

    def move_to(
        self,
        x_m,
        v_m=None,
        a_m=None,
        stiffness=None,
        contact_thresh_pos_N=None,
        contact_thresh_neg_N=None,
        req_calibration=True,
        contact_thresh_pos=None,
        contact_thresh_neg=None,
    ) -> None:
        robot = self._robot
        robot.log(f"{self._joint}.move_to", x_m, contact_thresh_pos, contact_thresh_neg)
        if robot.homed:
            robot.queue.append(lambda: robot.joints.move_to(self._joint, x_m, contact_thresh_pos))

    def move_by(
        self,
        x_m,
        v_m=None,
        a_m=None,
        stiffness=None,
        contact_thresh_pos_N=None,
        contact_thresh_neg_N=None,
        req_calibration=True,
        contact_thresh_pos=None,
        contact_thresh_neg=None,
    ) -> None:
        robot = self._robot
        robot.log(f"{self._joint}.move_by", x_m)
        if robot.homed:
            here = robot.joints.position[self._joint]
            robot.queue.append(lambda: robot.joints.move_to(self._joint, here + x_m))


class _Base:
    def __init__(self, robot: FakeStretchBody) -> None:
        self._robot = robot

    def enable_pos_incr_mode(self) -> None:
        self._robot.log("base.enable_pos_incr_mode")

    def translate_by(
        self, x_m, v_m=None, a_m=None, stiffness=None, contact_thresh_N=None, contact_thresh=None
    ) -> None:
        robot = self._robot
        robot.log("base.translate_by", x_m, contact_thresh)
        robot.queue.append(lambda: robot.joints.move_base(sj.TRANSLATE, x_m, contact_thresh))

    def rotate_by(
        self, x_r, v_r=None, a_r=None, stiffness=None, contact_thresh_N=None, contact_thresh=None
    ) -> None:
        robot = self._robot
        robot.log("base.rotate_by", x_r, contact_thresh)
        robot.queue.append(lambda: robot.joints.move_base(sj.ROTATE, x_r, contact_thresh))


class _Pimu:
    def __init__(self, robot: FakeStretchBody) -> None:
        self._robot = robot

    def runstop_event_trigger(self) -> None:
        self._robot.runstopped = True
        self._robot.joints.stop()

    def runstop_event_reset(self) -> None:
        self._robot.runstopped = False


class _Motor:
    def __init__(self, joint: str) -> None:
        self._joint = joint
        if joint == sj.GRIPPER:
            self.pct_max_open = sj.aperture_to_percent(sj.LIMITS[joint][1])

    def get_soft_motion_limits(self) -> list[float]:
        return list(sj.LIMITS[self._joint])


class _EndOfArm:
    def __init__(self, robot: FakeStretchBody, dex_wrist: bool) -> None:
        self._robot = robot
        names = list(_MOTORS) if dex_wrist else ["wrist_yaw", "stretch_gripper"]
        self.joints = dict.fromkeys(names).keys()
        self._motors = {name: _Motor(_MOTORS[name]) for name in names}

    def get_joint(self, joint_name) -> _Motor:
        return self._motors[joint_name]

    def move_to(self, joint, x_r, v_r=None, a_r=None) -> None:
        robot = self._robot
        robot.log(f"{joint}.move_to", x_r)
        if robot.runstopped or x_r != x_r:
            return
        value = sj.percent_to_aperture(x_r) if joint == "stretch_gripper" else x_r
        robot.joints.move_to(_MOTORS[joint], value)

    def move_by(self, joint, x_r, v_r=None, a_r=None) -> None:
        robot = self._robot
        robot.log(f"{joint}.move_by", x_r)
        if not robot.runstopped:
            joint = _MOTORS[joint]
            robot.joints.move_to(joint, robot.joints.position[joint] + x_r)
