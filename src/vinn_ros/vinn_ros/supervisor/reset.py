"""A reset, in order: preflight, scene, robot, the camera's sign check, "environment ready".

Every wait is bounded and ends when the operator stops; each part says what it is doing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.client import Client
from vinn.errors import ImageError, RobotError
from vinn.robot.checks.preflight import (
    Check,
    PreflightConfig,
    check_all,
    check_robot,
    first_failure,
)
from vinn.robot.config import RobotConfig
from vinn.robot.types import ReasonCode

from vinn_msgs.srv import MoveToStart, ResetScene
from vinn_ros.conversions import explained, to_vector3
from vinn_ros.node.calls import call, checked
from vinn_ros.node.sole_publishers import SolePublishers
from vinn_ros.supervisor.camera_check import Stopped, run_sign_check
from vinn_ros.supervisor.partners import RolloutLinks
from vinn_ros.supervisor.preflight_probe import PreflightProbe

SIGN_CHECKS = ("off", "first", "every")
"""When a reset checks the camera's axes: never, once per run of the supervisor, each time."""
_POLL_S = 0.05
_LOST_AFTER_S = 3.0
"""An executor that has not begun to move so long after the request never got it."""
_DOOR_TIMEOUT_S = 2.0
_STATES_TIMEOUT_S = 3.0
"""A driver that was started again publishes before everybody has found it."""

Outcome = tuple[ReasonCode, str]


@dataclass(frozen=True)
class ResetClients:
    """Whom a reset asks."""

    home: Client
    jog: Client
    scene: Client | None
    """None: there is no simulation."""


@dataclass(frozen=True)
class ResetSettings:
    """How a reset is done."""

    timeout_s: float
    """For the scene, and for the robot's way to the start."""
    sign_check: str
    """One of `SIGN_CHECKS`."""
    confirm_environment: bool
    """Wait until the operator says that the environment is ready."""
    environment_timeout_s: float


class RolloutReset:
    """Does resets, one at a time, and judges before each start."""

    def __init__(
        self,
        clients: ResetClients,
        links: RolloutLinks,
        sole: SolePublishers,
        probe: PreflightProbe,
        settings: ResetSettings,
        tell: Callable[[str], None],
    ) -> None:
        """Args: whom to ask, what is known, who must be alone, how, who hears what is done."""
        self._clients = clients
        self._links = links
        self._sole = sole
        self._probe = probe
        self._settings = settings
        self._tell = tell
        self._environment_ready = threading.Event()
        self._waiting = False
        self._camera_checked = False
        self._robot: RobotConfig | None = None
        self._limits = PreflightConfig()

    def configure(self, limits: PreflightConfig, robot: RobotConfig | None) -> None:
        """Take over what is good enough; `robot` None: tool and limits are not compared."""
        self._limits, self._robot = limits, robot

    @property
    def waiting(self) -> bool:
        """Whether a reset waits for the operator to say that the environment is ready."""
        return self._waiting

    def refusal(self, by_policy: bool) -> Outcome | None:
        """Why no rollout may start now, or None; one that a person drives needs no policy."""
        checks = check_all(self._probe.observe(), self._limits, self._robot)
        return _as_outcome(tuple(one for one in checks if by_policy or one.name != "policy"))

    def confirm_environment(self) -> bool:
        """The operator says that the environment is ready; False: nobody waits for that."""
        waiting = self._waiting
        if waiting:
            self._environment_ready.set()
        return waiting

    def run(self, scene_seed: int, offset_gripper_m: NDArray[np.float64]) -> Outcome:
        """Reset the scene and the robot; (NONE, "") when all is done.

        Args:
            scene_seed: of the simulated scene, where there is one.
            offset_gripper_m: (3,) right, forward, up of the start pose [m].
        """
        refusal = self._robot_refusal()
        if refusal is not None:
            return refusal
        try:
            problem = self._sole.settled_problem(lambda: self._links.stopping, self._tell)
            if problem:
                return ReasonCode.DUPLICATE_NODE, problem
            self._reset_scene(scene_seed)
            outcome = self._go_to_start(offset_gripper_m)
            if outcome is None:
                outcome = self._check_camera()
            if outcome is None:
                outcome = self._wait_for_environment()
        except Stopped:
            return ReasonCode.OPERATOR_STOP, "stopped during the reset"
        except ImageError as error:
            return ReasonCode.CAMERA_STALE, str(error)
        except RobotError as error:
            return ReasonCode.ROBOT_ERROR, str(error)
        return outcome or (ReasonCode.NONE, "")

    # The parts, in order; an outcome ends the reset

    def _robot_refusal(self) -> Outcome | None:
        """Why the robot may not be moved; a driver that has just come back is waited for."""
        deadline_s = time.monotonic() + _STATES_TIMEOUT_S
        while True:
            refusal = _as_outcome(check_robot(self._probe.observe(), self._limits, self._robot))
            stale = refusal is not None and refusal[0] is ReasonCode.STATE_STALE
            if not stale or self._links.stopping or time.monotonic() > deadline_s:
                return refusal
            time.sleep(_POLL_S)

    def _reset_scene(self, seed: int) -> None:
        if self._clients.scene is None:
            return
        self._tell("resetting the scene")
        checked(self._clients.scene, ResetScene.Request(seed=seed), self._settings.timeout_s)
        self._links.wait_for_closed_door(_DOOR_TIMEOUT_S)

    def _ask_home(self, request: MoveToStart.Request) -> MoveToStart.Response:
        asked_s = time.monotonic()
        answer: MoveToStart.Response = call(
            self._clients.home,
            request,
            self._settings.timeout_s,
            lost=lambda: self._links.executor_idle(asked_s, _LOST_AFTER_S),
        )
        return answer

    def _go_to_start(self, offset_gripper_m: NDArray[np.float64]) -> Outcome | None:
        self._stop_here()
        self._tell("moving to the start pose")
        request = MoveToStart.Request(offset=to_vector3(offset_gripper_m))
        try:
            answer = self._ask_home(request)
        except RobotError:
            # Discovery may still know an executor that has died; then a request is lost with it.
            answer = self._ask_home(request)
        return None if answer.success else _as_told(answer)

    def _check_camera(self) -> Outcome | None:
        wanted = self._settings.sign_check
        if wanted == "off" or (wanted == "first" and self._camera_checked):
            return None
        check = run_sign_check(
            self._clients.jog, self._probe, self._tell, lambda: self._links.stopping
        )
        self._camera_checked = check.passed
        return None if check.passed else (check.reason, check.message)

    def _wait_for_environment(self) -> Outcome | None:
        self._stop_here()
        if not self._settings.confirm_environment:
            return None
        self._environment_ready.clear()
        self._waiting = True
        self._tell('waiting for "environment ready" (vinn-operator ready)')
        try:
            left_s = self._settings.environment_timeout_s
            while not self._environment_ready.wait(_POLL_S):
                self._stop_here()
                left_s -= _POLL_S
                if left_s <= 0.0:
                    return (
                        ReasonCode.TIMEOUT,
                        "nobody said that the environment is ready within "
                        f"{self._settings.environment_timeout_s:g} s",
                    )
        finally:
            self._waiting = False
        return None

    def _stop_here(self) -> None:
        if self._links.stopping:
            raise Stopped


def _as_told(answer: MoveToStart.Response) -> Outcome:
    reason = ReasonCode.of(answer.reason)
    return reason, explained(reason, answer.reason, answer.message)


def _as_outcome(checks: tuple[Check, ...]) -> Outcome | None:
    failed = first_failure(checks)
    return None if failed is None else (failed.reason, f"{failed.name}: {failed.message}")
