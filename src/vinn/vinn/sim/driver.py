"""The simulated robot as the executor sees it: a `vinn.robot.types.RobotDriver` in this process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, replace

from vinn.errors import RobotError
from vinn.robot.limits import clamp
from vinn.robot.types import JointCommand, JointLimits, JointRange, RobotState
from vinn.sim.world import DoorWorld


class SimulatedStretch:
    """Unpaced: time passes only in `wait`, and `now_s` is simulated time."""

    def __init__(
        self, world: DoorWorld, on_wait: Callable[[DoorWorld], None] | None = None
    ) -> None:
        """Args: the world it stands in, and what to tell after each piece of time that passed."""
        self.world = world
        self._on_wait = on_wait
        self._mode = "position"
        self._homed = True
        self._runstopped = False
        self._elapsed_before_reset_s = 0.0
        self._last_world_time_s = 0.0

    def state(self) -> RobotState:
        """The state at this moment of simulated time."""
        world = self.world
        yaw, pitch, roll = world.wrist_rad
        x, y, theta = world.base_pose
        return RobotState(
            steady_s=self.now_s(),
            lift_m=world.lift_m,
            arm_m=world.arm_m,
            wrist_yaw_rad=yaw,
            wrist_pitch_rad=pitch,
            wrist_roll_rad=roll,
            gripper_aperture_m=world.gripper_aperture_m,
            base_x_m=x,
            base_y_m=y,
            base_theta_rad=theta,
            homed=self._homed,
            runstopped=self._runstopped,
            mode=self._mode,
        )

    def limits(self) -> JointLimits:
        """The tool's limits, and the gripper's as wide as the difficulty lets it open."""
        limits = self.world.scene.tool.limits.joint_limits()
        aperture = limits.gripper_aperture_m
        opens_to = min(aperture.upper, self.world.scene.difficulty.gripper_aperture_m)
        return replace(limits, gripper_aperture_m=JointRange(aperture.lower, opens_to))

    def now_s(self) -> float:
        """Simulated time; goes on when the world is reset."""
        time_s = self.world.time_s
        if time_s < self._last_world_time_s:
            self._elapsed_before_reset_s += self._last_world_time_s
        self._last_world_time_s = time_s
        return self._elapsed_before_reset_s + time_s

    def send(self, command: JointCommand) -> JointCommand:
        """Clip to the limits, as Stretch's driver does, and move.

        Raises:
            RobotError: runstopped, not homed, not in position mode, or a malformed command.
        """
        if self._runstopped:
            raise RobotError("command refused: the robot is runstopped")
        if not self._homed:
            raise RobotError("command refused: the robot is not homed")
        if self._mode != "position":
            raise RobotError(f"command refused: mode is {self._mode}; allowed: position")
        if not all(math.isfinite(value) for value in astuple(command)):
            raise RobotError(f"command refused: not finite: {command}")
        if command.base_translate_m and command.base_rotate_rad:
            raise RobotError("command refused: base translation and rotation in one command")
        limits = self.limits()
        sent = replace(
            command,
            lift_m=clamp(command.lift_m, limits.lift_m),
            arm_m=clamp(command.arm_m, limits.arm_m),
            wrist_yaw_rad=clamp(command.wrist_yaw_rad, limits.wrist_yaw_rad),
            wrist_pitch_rad=clamp(command.wrist_pitch_rad, limits.wrist_pitch_rad),
            wrist_roll_rad=clamp(command.wrist_roll_rad, limits.wrist_roll_rad),
            gripper_aperture_m=clamp(command.gripper_aperture_m, limits.gripper_aperture_m),
        )
        self.world.command(sent)
        return sent

    def hold(self) -> None:
        """Stop where it is; the gripper keeps its grip."""
        self.world.hold()

    def wait(self, seconds: float) -> None:
        """Advance physics by `seconds`."""
        self.world.step(seconds)
        if self._on_wait is not None:
            self._on_wait(self.world)

    # --- what an operator or a fault does to the robot -----------------------------------------

    def set_runstop(self, pressed: bool) -> None:
        """Press or release the runstop; pressing stops all motion."""
        if pressed:
            self.world.hold()
        self._runstopped = pressed

    def set_mode(self, mode: str) -> None:
        """Switch the driver's mode; leaving a mode stops the base and the joints."""
        if mode != self._mode:
            self.world.hold()
        self._mode = mode

    def set_homed(self, homed: bool) -> None:
        """Say whether the joints have been homed."""
        self._homed = homed
