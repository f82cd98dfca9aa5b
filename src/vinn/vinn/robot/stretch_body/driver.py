"""Stretch without its ROS driver: straight through Hello Robot's `stretch_body`.

For a robot on which `stretch_driver` does not run; only one process may use `stretch_body` at a
time. What release 0.7.31 does: commands to lift, arm and base are queued and sent by
`push_command`; `move_to` clips to the soft limits and takes NaN for the lower one; the wrist's
motors obey at once, drop NaN without a word, and take an increment up to 0.00002 rad for none at
all; `get_status` is as new as its threads' last reading (25 Hz, the wrist 15 Hz); the base takes
increments of any length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from vinn.errors import RobotError
from vinn.robot.config import ContactConfig, RobotConfig
from vinn.robot.stretch_body.start import make_robot, start_robot
from vinn.robot.types import JointCommand, JointLimits, JointRange, RobotState

_APERTURE_M_PER_PERCENT = 0.09 / 70.0
_WRIST = {
    "wrist_yaw_rad": "wrist_yaw",
    "wrist_pitch_rad": "wrist_pitch",
    "wrist_roll_rad": "wrist_roll",
}
_GRIPPER = "stretch_gripper"
_HELD = JointRange(0.0, 0.0)
"""A wrist joint that the tool does not have."""
_SYNC_PERIOD_S = 0.06
"""Power boards before protocol 3 start what was pushed at most 20 times a second; a push that comes
sooner waits at the motors for the next one."""


class StretchBodyDriver:
    """A `vinn.robot.types.RobotDriver`. One thread calls it."""

    def __init__(self, robot: Any = None) -> None:
        """Args: a `stretch_body.robot.Robot` that is not started yet; None makes one at `start`."""
        self._robot = robot
        self._started = False
        self._contact = ContactConfig()
        self._gripper_m: float | None = None
        self._body, self._wrist = _Age(), _Age()
        self._bus_errors: int | None = None
        """Failed reads of the wrist's bus, as counted when it was looked at last."""
        self._pushed_s = -math.inf

    @property
    def interrupted(self) -> bool:
        """Never: the robot's side runs in this process."""
        return False

    def start(self, config: RobotConfig) -> None:
        """Take the robot and set the base to increments. Homes nothing.

        Raises:
            vinn.errors.RobotError: stretch_body is not installed or finds no description of the
                robot, another process has the robot, a device did not start, or the tool has no
                gripper.
        """
        self._contact = config.contact
        if self._started:
            return
        robot = make_robot() if self._robot is None else self._robot
        self._robot = None
        start_robot(robot, needed_joint=_GRIPPER)
        self._robot = robot
        self._started = True
        # The robot's own check of the whole arm, besides ours of the gripper; off by default.
        self._robot.enable_collision_mgmt()
        self._robot.base.enable_pos_incr_mode()
        self._push()

    def stop(self) -> None:
        """Hold, stop its threads and give the robot back.

        Raises:
            vinn.errors.RobotError: a joint could not be told to hold; the robot is given back all
                the same.
        """
        if self._started:
            try:
                # Some wrist motors keep their torque, and so their way to the goal, after `stop`.
                self.hold()
            finally:
                robot, self._robot = self._robot, None
                self._started = False
                robot.stop()

    def state(self) -> RobotState:
        """The newest reading; `steady_s` is when its time stamp was first seen.

        Raises:
            vinn.errors.RobotError: not started, or a value is missing or not finite.
        """
        robot = self._ready()
        status = robot.get_status()
        try:
            base, arm_end = status["base"], status["end_of_arm"]
            body_stamp = min(
                float(status["lift"]["timestamp_pc"]), float(status["arm"]["timestamp_pc"])
            )
            wrist_stamp = float(arm_end["wrist_yaw"]["timestamp_pc"])
            values = {
                "lift_m": float(status["lift"]["pos"]),
                "arm_m": float(status["arm"]["pos"]),
                "gripper_aperture_m": float(arm_end[_GRIPPER]["pos_pct"]) * _APERTURE_M_PER_PERCENT,
                "base_x_m": float(base["x"]),
                "base_y_m": float(base["y"]),
                "base_theta_rad": float(base["theta"]),
            }
            for field, name in _WRIST.items():
                values[field] = float(arm_end[name]["pos"]) if name in arm_end else 0.0
            runstopped = bool(status["pimu"]["runstop_event"])
        except KeyError as error:
            raise RobotError(f"stretch_body: status has no {error}") from error
        for field, value in values.items():
            if not math.isfinite(value):
                raise RobotError(f"stretch_body: {field} is {value}")
        # A failed read of the wrist leaves its old angles under a new time stamp, but is counted.
        errors = int(robot.end_of_arm.comm_errors.status["n_gsr"])
        read, self._bus_errors = self._bus_errors in (None, errors), errors
        self._body.note(body_stamp, True)
        self._wrist.note(wrist_stamp, read)
        return RobotState(
            # They come from two threads: as old as the older one.
            steady_s=min(self._body.received_s, self._wrist.received_s),
            homed=bool(robot.is_homed()),
            runstopped=runstopped,
            mode="position",
            **values,
        )

    def limits(self) -> JointLimits:
        """The soft limits that stretch_body applies now."""
        robot = self._ready()
        motors = robot.end_of_arm

        def soft(joint: Any) -> JointRange:
            lower, upper = joint.get_soft_motion_limits()
            return JointRange(float(lower), float(upper))

        wrist = {
            field: soft(motors.get_joint(name)) if name in motors.joints else _HELD
            for field, name in _WRIST.items()
        }
        open_percent = float(motors.get_joint(_GRIPPER).pct_max_open)
        return JointLimits(
            lift_m=soft(robot.lift),
            arm_m=soft(robot.arm),
            gripper_aperture_m=JointRange(
                -100.0 * _APERTURE_M_PER_PERCENT, open_percent * _APERTURE_M_PER_PERCENT
            ),
            **wrist,
        )

    def now_s(self) -> float:
        """The steady clock."""
        return time.monotonic()

    def send(self, command: JointCommand) -> JointCommand:
        """Queue targets for every joint and push them at once.

        Raises:
            vinn.errors.RobotError: not started, not finite, not homed or runstopped: stretch_body
                drops such commands without a word.
        """
        robot = self._ready()
        if not all(math.isfinite(value) for value in vars(command).values()):
            raise RobotError(f"command refused: not finite: {command}")
        if command.base_translate_m and command.base_rotate_rad:
            raise RobotError("command refused: base translation and rotation in one command")
        if not robot.is_homed():
            raise RobotError("command refused: the robot is not homed")
        if robot.get_status()["pimu"]["runstop_event"]:
            raise RobotError("command refused: the robot is runstopped")
        thresholds = self._contact.pull if command.loaded else self._contact.free
        _move(robot.lift, command.lift_m, thresholds.lift_percent)
        _move(robot.arm, command.arm_m, thresholds.arm_percent)
        if command.base_translate_m:
            robot.base.translate_by(
                command.base_translate_m, contact_thresh=thresholds.base_percent
            )
        elif command.base_rotate_rad:
            robot.base.rotate_by(command.base_rotate_rad, contact_thresh=thresholds.base_percent)
        for field, name in _WRIST.items():
            if name in robot.end_of_arm.joints:
                robot.end_of_arm.move_to(name, getattr(command, field))
        robot.end_of_arm.move_to(_GRIPPER, command.gripper_aperture_m / _APERTURE_M_PER_PERCENT)
        self._push()
        self._gripper_m = command.gripper_aperture_m
        return command

    def hold(self) -> None:
        """Every joint stops where it is, the base too; a gripper that closes keeps its grip.

        Each joint is told by itself: one that does not answer keeps none of the others moving.
        Blocks for 0.06 s at most, and the time that the wrist's bus takes.

        Raises:
            vinn.errors.RobotError: names the joints that could not be told.
        """
        robot = self._ready()
        stops: dict[str, Callable[[], None]] = {
            name: lambda name=name: self._stop_motor(name)  # type: ignore[misc]
            for name in _WRIST.values()
            if name in robot.end_of_arm.joints
        }
        stops[_GRIPPER] = self._stop_opening
        # By increments of zero: they need neither a fresh reading nor a target of our own.
        stops["base"] = lambda: robot.base.translate_by(0.0)
        stops["lift"] = lambda: robot.lift.move_by(0.0)
        stops["arm"] = lambda: robot.arm.move_by(0.0)
        stops["base, lift and arm"] = self._push
        problems = [problem for name, stop in stops.items() if (problem := _try(name, stop))]
        if problems:
            raise RobotError(f"stretch_body: not held: {'; '.join(problems)}")

    def _stop_motor(self, name: str) -> None:
        """The measured angle becomes the goal. An increment of zero would leave the old goal."""
        motor = self._fresh(name)
        self._ready().end_of_arm.move_to(name, motor.status["pos"])

    def _stop_opening(self) -> None:
        """What is held must not be let go: only a gripper on its way open stops."""
        if self._gripper_m is None:
            return
        percent = float(self._fresh(_GRIPPER).status["pos_pct"])
        if percent * _APERTURE_M_PER_PERCENT < self._gripper_m:
            self._ready().end_of_arm.move_to(_GRIPPER, percent)
            self._gripper_m = percent * _APERTURE_M_PER_PERCENT

    def _fresh(self, name: str) -> Any:
        """The motor, read just now.

        Raises:
            vinn.errors.RobotError: it does not answer; its torque was switched off and on again,
                which is its own way to stop.
        """
        motor = self._ready().end_of_arm.get_joint(name)
        before = motor.status["timestamp_pc"]
        motor.pull_status()
        if motor.status["timestamp_pc"] == before or not math.isfinite(motor.status["pos"]):
            motor.quick_stop()
            raise RobotError("no reading")
        return motor

    def _push(self) -> None:
        """Send what is queued to lift, arm and base, and see that it starts."""
        robot = self._ready()
        left_s = self._pushed_s + _SYNC_PERIOD_S - time.monotonic()
        robot.push_command()
        if left_s > 0:
            time.sleep(left_s)
            robot.push_command()
        self._pushed_s = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass; the readings come from stretch_body's own threads."""
        time.sleep(seconds)

    def _ready(self) -> Any:
        if not self._started:
            raise RobotError("stretch_body: not started")
        return self._robot


def _move(joint: Any, target_m: float, percent: float | None) -> None:
    """Lift or arm; no threshold leaves the robot's own, which differ by direction."""
    if percent is None:
        joint.move_to(target_m)
    else:
        joint.move_to(target_m, contact_thresh_pos=percent, contact_thresh_neg=-percent)


class _Age:
    """When a new time stamp (wall clock) was first seen, by the steady clock."""

    def __init__(self) -> None:
        self._stamp: float | None = None
        self.received_s = -math.inf

    def note(self, stamp: float, good: bool) -> None:
        """A stamp that was read; one that is not `good` makes nothing younger."""
        if stamp != self._stamp and good:
            self.received_s = time.monotonic()
        self._stamp = stamp


def _try(name: str, stop: Callable[[], None]) -> str | None:
    """Whatever one device raises, the others must be told to stop: its error in words."""
    try:
        stop()
    except Exception as error:
        return f"{name}: {error}"
    return None
