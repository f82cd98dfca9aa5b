"""A stand-in for `stretch_body.robot.Robot`: the same methods and signatures, joints that move.

`test/robot/test_stretch_body_driver.py` holds its signatures and what its calls do against those of
the real package (`stretch_body_signatures.json` and `stretch_body_behaviour.json`, made from the
wheel by `tools/stretch_body_signatures.py` and `tools/stretch_body_check.py`). Quirks kept:

- lift, arm and base wait for `push_command`; what is pushed sooner than `sync_period_s` after the
  push before waits at the motors for the next one. The wrist obeys at once.
- NaN: the lower limit for `move_to` of lift and arm, else dropped without a word. Targets are
  clipped without a word, but not the base's.
- The wrist takes no increment up to 0.00002 rad; joints that are not homed, and the wrist while
  runstopped, take nothing.
- `startup` installs signal handlers; after `stop` the wrist's roll keeps its way.

    robot = FakeStretchBody()            # robot.joints: stretch_joints.StretchJoints
    robot.homed = False                  # robot.runstopped, .silent, .busy, .missing, .deaf
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import SimpleNamespace
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
        self.deaf: set[str] = set()
        """Joints of the arm's end that do not answer."""
        self.bus_dead = False
        """Reads of the whole wrist fail: old angles under new time stamps, counted as errors."""
        self.broken: set[str] = set()
        """Of "lift", "arm", "base", "push": what raises when called."""
        self.sync_period_s = 0.05
        """0 for power boards from protocol 3 on."""
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.collision_management = False
        self.lift = _Prismatic(self, sj.LIFT)
        self.arm = _Prismatic(self, sj.ARM)
        self.base = _Base(self)
        self.pimu = _Pimu(self)
        self.end_of_arm = _EndOfArm(self, dex_wrist)
        self.queue: dict[str, Callable[[], None]] = {}
        """Motor -> its newest command."""
        self._synced_s = -1.0
        self._advanced_s = time.monotonic()
        self._stamp = time.time()

    def startup(
        self, start_non_dxl_thread=True, start_dxl_thread=True, start_sys_mon_thread=True
    ) -> bool:
        if self.busy:
            return False
        signal.signal(signal.SIGTERM, _shutdown)
        signal.signal(signal.SIGINT, _shutdown)
        return True

    def stop(self) -> None:
        self.calls.append(("stop", ()))
        # Steppers go to their safety mode, yaw and gripper lose their torque, pitch floats.
        self.joints.stop(*(set(sj.LIMITS) - {sj.ROLL}), sj.TRANSLATE)

    def get_status(self) -> dict[str, Any]:
        now_s = time.monotonic()
        if not self.runstopped:
            self.joints.advance(now_s - self._advanced_s)
        self._advanced_s = now_s
        if not self.silent:
            self._stamp = time.time()
        position, (x, y, theta) = self.joints.snapshot()
        if self.bus_dead:
            if not self.silent:
                self.end_of_arm.comm_errors.status["n_gsr"] += 1
            position |= {joint: self._frozen[joint] for joint in _MOTORS.values()}
        else:
            self._frozen = position
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
        self.fail("push")
        self.get_status()
        now_s = time.monotonic()
        if now_s - self._synced_s < self.sync_period_s:
            return
        self._synced_s = now_s
        queue, self.queue = self.queue, {}
        if not self.runstopped:
            for command in queue.values():
                command()

    def is_homed(self) -> bool:
        return self.homed

    def home(self) -> None:
        self.homed = True

    def stow(self) -> None:
        self.calls.append(("stow", ()))

    def enable_collision_mgmt(self) -> None:
        self.collision_management = True

    def fail(self, part: str) -> None:
        """Raise as a part does whose board is gone."""
        if part in self.broken:
            raise OSError(f"{part}: no such device")

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
        lower, upper = sj.LIMITS[self._joint]
        if robot.homed:
            self._queue(min(max(lower, x_m), upper), contact_thresh_pos)

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
        robot.fail("lift" if self._joint == sj.LIFT else "arm")
        if robot.homed and x_m == x_m:
            # The increment counts from where the motor is when it starts.
            joints = robot.joints
            robot.queue[self._joint] = lambda: joints.move_to(
                self._joint, joints.position[self._joint] + x_m, contact_thresh_pos
            )

    def _queue(self, target_m: float, threshold: float | None) -> None:
        joints = self._robot.joints
        self._robot.queue[self._joint] = lambda: joints.move_to(self._joint, target_m, threshold)


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
        robot.fail("base")
        self._queue(sj.TRANSLATE, x_m, contact_thresh)

    def rotate_by(
        self, x_r, v_r=None, a_r=None, stiffness=None, contact_thresh_N=None, contact_thresh=None
    ) -> None:
        robot = self._robot
        robot.log("base.rotate_by", x_r, contact_thresh)
        self._queue(sj.ROTATE, x_r, contact_thresh)

    def _queue(self, joint: str, increment: float, threshold: float | None) -> None:
        joints = self._robot.joints
        if increment == increment:
            self._robot.queue["base"] = lambda: joints.move_base(joint, increment, threshold)


class _Pimu:
    def __init__(self, robot: FakeStretchBody) -> None:
        self._robot = robot

    def runstop_event_trigger(self) -> None:
        self._robot.runstopped = True
        self._robot.joints.stop()

    def runstop_event_reset(self) -> None:
        self._robot.runstopped = False


class _Motor:
    """One motor of the wrist, or the gripper's, which counts in percent."""

    def __init__(self, robot: FakeStretchBody, name: str) -> None:
        self._robot, self._name, self._joint = robot, name, _MOTORS[name]
        self._percent = self._joint == sj.GRIPPER
        self.status = {"pos": 0.0, "pos_pct": 0.0, "timestamp_pc": 0.0}
        if self._percent:
            self.pct_max_open = sj.aperture_to_percent(sj.LIMITS[self._joint][1])

    def get_soft_motion_limits(self) -> list[float]:
        return list(sj.LIMITS[self._joint])

    def pull_status(self, data=None) -> None:
        robot = self._robot
        robot.get_status()
        if self._name in robot.deaf:
            return
        position = robot.joints.position[self._joint]
        self.status["pos"] = position
        self.status["timestamp_pc"] = time.time_ns() / 1e9
        if self._percent:
            self.status["pos_pct"] = sj.aperture_to_percent(position)

    def quick_stop(self) -> None:
        self._robot.log(f"{self._name}.quick_stop")
        self._robot.get_status()
        self._robot.joints.stop(self._joint)

    def move_to(self, x_des, v_des=None, a_des=None) -> None:
        robot = self._robot
        robot.get_status()
        if robot.runstopped or x_des != x_des or self._name in robot.deaf:
            return
        value = sj.percent_to_aperture(x_des) if self._percent else x_des
        robot.joints.move_to(self._joint, value)

    def move_by(self, x_des, v_des=None, a_des=None) -> None:
        self.pull_status()
        if self._percent:
            self.move_to(self.status["pos_pct"] + x_des)
        elif abs(x_des) > 0.00002:
            self.move_to(self.status["pos"] + x_des)


class _EndOfArm:
    def __init__(self, robot: FakeStretchBody, dex_wrist: bool) -> None:
        self._robot = robot
        self.comm_errors = SimpleNamespace(status={"n_gsr": 0})
        names = list(_MOTORS) if dex_wrist else ["wrist_yaw", "stretch_gripper"]
        self.joints = dict.fromkeys(names).keys()
        self._motors = {name: _Motor(robot, name) for name in names}

    def get_joint(self, joint_name) -> _Motor | None:
        return self._motors.get(joint_name)

    def move_to(self, joint, x_r, v_r=None, a_r=None) -> None:
        self._robot.log(f"{joint}.move_to", x_r)
        self._motors[joint].move_to(x_r, v_r, a_r)

    def move_by(self, joint, x_r, v_r=None, a_r=None) -> None:
        self._robot.log(f"{joint}.move_by", x_r)
        self._motors[joint].move_by(x_r, v_r, a_r)


def _shutdown(number: int, frame: object) -> None:
    raise RuntimeError(f"caught signal {number}")
