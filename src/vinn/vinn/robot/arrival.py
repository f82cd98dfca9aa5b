"""Has a commanded motion arrived, is it still on its way, or is it stuck?"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from vinn.robot.config import ExecutorConfig
from vinn.robot.types import JointCommand, ReasonCode, RobotState

ARM_JOINTS = ("lift_m", "arm_m", "wrist_yaw_rad", "wrist_pitch_rad", "wrist_roll_rad")
"""The joints of a command with absolute targets, without the gripper."""


def wrap_angle(angle_rad: float) -> float:
    """The same angle within -pi..pi."""
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi


def base_advance_m(start: RobotState, now: RobotState) -> float:
    """How far the base drove since `start`, along its heading then [m]."""
    dx, dy = now.base_x_m - start.base_x_m, now.base_y_m - start.base_y_m
    return dx * math.cos(start.base_theta_rad) + dy * math.sin(start.base_theta_rad)


class ArrivalMonitor:
    """Watches one motion, reading by reading.

    A motion has arrived when every joint it moves is within its tolerance and the whole robot has
    been at rest for `settle_window_s`. While the gripper holds something, the pull of a door keeps
    the arm short of its target: at rest within `loaded_arrival_m` counts too. A closing gripper has
    arrived when it stops, because an object between the fingers keeps it from its target.
    """

    def __init__(
        self,
        config: ExecutorConfig,
        command: JointCommand,
        start: RobotState,
        start_s: float,
        *,
        moving: frozenset[str],
        gripper_moves: bool,
        loaded: bool,
    ) -> None:
        """Args: settings, what was sent, the reading and the time before it, what it changes."""
        self._config = config
        self._command = command
        self._start = start
        self._start_s = start_s
        self._moving = moving
        self._gripper_moves = gripper_moves
        self._loaded = loaded
        self._readings: deque[tuple[float, NDArray[np.float64]]] = deque()
        self._initial = max(self._errors(start).values(), default=0.0)
        self._best = self._initial
        self._progress_s = start_s
        self.remaining = self._initial
        """Largest remaining joint error [m or rad]."""

    def update(self, state: RobotState, now_s: float) -> ReasonCode | None:
        """Take a reading. NONE: arrived; STALLED or TIMEOUT: failed; None: still moving."""
        config = self._config
        errors = self._errors(state)
        self.remaining = max(errors.values(), default=0.0)
        self._remember(state)
        at_rest, gripper_at_rest = self._at_rest()
        elapsed_s = now_s - self._start_s
        started = elapsed_s >= config.start_s or self.remaining <= 0.5 * self._initial

        gripper_error_m = abs(state.gripper_aperture_m - self._command.gripper_aperture_m)
        gripper_done = (
            not self._gripper_moves
            or gripper_error_m <= config.arrival_gripper_m
            or (gripper_at_rest and elapsed_s >= config.start_s)
        )
        near = all(error <= self._tolerance(name) for name, error in errors.items())
        near_enough = near or (
            self._loaded
            and elapsed_s >= config.start_s
            and all(error <= self._loaded_tolerance(name) for name, error in errors.items())
        )
        if near_enough and at_rest and started and gripper_done:
            return ReasonCode.NONE

        if self.remaining < self._best - config.progress_m or (
            self._gripper_moves and not gripper_at_rest
        ):
            self._best = min(self._best, self.remaining)
            self._progress_s = now_s
        if not near and now_s - self._progress_s > config.no_progress_s:
            return ReasonCode.STALLED
        if elapsed_s > config.step_timeout_s:
            return ReasonCode.TIMEOUT
        return None

    def _errors(self, state: RobotState) -> dict[str, float]:
        errors = {
            name: abs(getattr(self._command, name) - getattr(state, name)) for name in self._moving
        }
        if self._command.base_translate_m:
            errors["base_m"] = abs(
                self._command.base_translate_m - base_advance_m(self._start, state)
            )
        if self._command.base_rotate_rad:
            turned = wrap_angle(state.base_theta_rad - self._start.base_theta_rad)
            errors["base_rad"] = abs(wrap_angle(self._command.base_rotate_rad - turned))
        return errors

    def _tolerance(self, name: str) -> float:
        config = self._config
        if name == "lift_m":
            return config.arrival_lift_m
        if name == "arm_m":
            return config.arrival_arm_m
        if name == "base_m":
            return config.arrival_base_m
        return config.arrival_wrist_rad

    def _loaded_tolerance(self, name: str) -> float:
        tolerance = self._tolerance(name)
        return max(tolerance, self._config.loaded_arrival_m) if name.endswith("_m") else tolerance

    def _remember(self, state: RobotState) -> None:
        """Keep the readings of the settle window: the gripper last, angles before it."""
        if self._readings and state.steady_s <= self._readings[-1][0]:
            return
        reading = np.array(
            [
                state.lift_m,
                state.arm_m,
                base_advance_m(self._start, state),
                state.wrist_yaw_rad,
                state.wrist_pitch_rad,
                state.wrist_roll_rad,
                wrap_angle(state.base_theta_rad - self._start.base_theta_rad),
                state.gripper_aperture_m,
            ]
        )
        self._readings.append((state.steady_s, reading))
        # One reading from before the window stays, so that the window is covered whole.
        window_start_s = state.steady_s - self._config.settle_window_s + 1e-9
        while len(self._readings) > 1 and self._readings[1][0] <= window_start_s:
            self._readings.popleft()

    def _at_rest(self) -> tuple[bool, bool]:
        """Whether the arm and base, and the gripper, stood still over the whole window."""
        span_s = self._readings[-1][0] - self._readings[0][0]
        if span_s < self._config.settle_window_s - 1e-9:
            return False, False
        values = np.stack([reading for _, reading in self._readings])
        moved = values.max(axis=0) - values.min(axis=0)
        at_rest = (moved[:3] < self._config.settle_m).all() and (
            moved[3:7] < self._config.settle_rad
        ).all()
        return bool(at_rest), bool(moved[7] < self._config.settle_m)
