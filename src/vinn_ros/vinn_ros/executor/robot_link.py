"""The executor's link to the robot: met before a motion, latched by a fault, let go of."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from vinn.errors import RobotError
from vinn.robot.config import RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import ReasonCode, RobotState

from vinn_ros.drivers.driver import StartableDriver


@dataclass
class RobotLink:
    """Driver and `StepExecutor`. Whoever holds `lock` is the one thread that talks to the robot.

    A latch belongs to the robot, not to the executor over it: it outlives both meeting the robot
    anew and a deactivated node.
    """

    driver: StartableDriver
    config: RobotConfig | None = None
    """Of the next meeting; None: not configured."""
    reset_needed: str = ""
    """Why a reset must come before the next step; empty: it need not."""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._executor: StepExecutor | None = None
        self._latched: ReasonCode | None = None
        self._anew = False

    @property
    def executor(self) -> StepExecutor | None:
        """None: the robot has not been met, or is to be met anew."""
        return None if self._anew else self._executor

    @property
    def settings(self) -> RobotConfig:
        """The configuration.

        Raises:
            vinn.errors.RobotError: there is none yet.
        """
        if self.config is None:
            raise RobotError("stretch_executor: not configured")
        return self.config

    @property
    def latched(self) -> ReasonCode | None:
        """The fault that an operator has to clear before anything moves again."""
        return self._latched if self._executor is None else self._executor.latched

    def clear_latch(self) -> ReasonCode | None:
        """Allow motion again after a fault; returns what was latched.

        The driver may have been started anew, in another mode: the next motion meets it anew.
        """
        latched = self.latched
        self._latched = None
        if self._executor is not None:
            self._executor.clear_latch()
        self.meet_anew()
        return latched

    def meet_anew(self) -> None:
        """Have the next motion ask the robot for mode and limits, whatever was known of it."""
        self._anew = True

    def meet(self) -> StepExecutor:
        """The executor over the robot, made at first need: its limits come from the robot.

        Raises:
            vinn.errors.RobotError: the robot does not answer.
            vinn.errors.ConfigError: its limits do not fit the tool profile.
        """
        if self._executor is None or self._anew:
            config = self.settings
            self.driver.start(config)
            motion_filter = MotionFilter(config, self.driver.limits())
            latched = self.latched
            self._executor = StepExecutor(self.driver, motion_filter, config.executor, latched)
            self._anew = False
        return self._executor

    def state(self) -> RobotState:
        """A reading of a robot that was met.

        Raises:
            vinn.errors.RobotError: it cannot be had.
        """
        self.meet()
        return self.driver.state()

    def use(self, config: RobotConfig) -> None:
        """Judge the steps to come by another configuration. Between two motions only."""
        self.config = config
        if self.executor is not None:
            self.executor.use_filter(MotionFilter(config, self.driver.limits()))

    def give_up(self, what: str, error: Exception) -> tuple[ReasonCode, str]:
        """Hold, after what nobody thought of; the reason, and what to say."""
        message = repr(error)
        try:
            if self._executor is not None:
                self.driver.hold()
        except Exception as hold_error:
            message += f"; hold failed: {hold_error!r}"
        self.reset_needed = f"{what} failed: reset before the next step"
        return ReasonCode.INTERNAL_ERROR, message

    def release(self) -> None:
        """Let go of the robot, which keeps holding; a latch stays."""
        if self._executor is not None:
            self._latched = self._executor.latched
            self._executor.end_session()
            self._executor = None
            self.driver.stop()
