"""The supervisor's links to executor and scene, as the callables `run_rollout` wants.

All deadlines are on the steady clock. A link that goes silent ends the rollout with its reason.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionClient
from rclpy.client import Client
from std_srvs.srv import Trigger
from vinn.errors import RobotError
from vinn.policies.types import Prediction
from vinn.robot.types import ReasonCode, StepResult
from vinn.rollout.loop import RolloutInterrupted

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import ExecutorStatus, SceneStatus
from vinn_msgs.msg import Prediction as PredictionMsg
from vinn_ros.conversions import (
    explained,
    from_prediction_msg,
    to_nanoseconds,
    to_prediction_msg,
    to_stamp,
    to_step_result,
)
from vinn_ros.node.calls import wait_for
from vinn_ros.node.sole_publishers import SolePublishers
from vinn_ros.supervisor.driving import Driving, HandStep
from vinn_ros.supervisor.policy_link import Chosen, Known, PolicyLink

OPERATOR = "operator"
"""Who decided a step by hand, where a recording names the policy."""
_POLL_S = 0.05
_GOAL_TIMEOUT_S = 1.0
_END_OF_STOPPED_STEP_S = 2.0


@dataclass(frozen=True)
class Limits:
    """How long the executor may be silent, and what counts as success."""

    executor_timeout_s: float
    """Between two executor/status."""
    step_timeout_s: float
    success: str
    """Field of SceneStatus that ends a rollout; empty: the operator judges."""


class RolloutLinks:
    """What arrived last from whom, and one step after the other. Thread-safe."""

    def __init__(
        self,
        step: ActionClient,
        stop_motion: Client,
        policy: PolicyLink,
        sole: SolePublishers,
        limits: Limits,
        driving: Driving,
        driven: Callable[[PredictionMsg], None],
    ) -> None:
        """Args: the executor's action and stop service, who decides, who must be alone, limits,
        who has control, who is told of steps by hand.
        """
        self._step = step
        self._stop_motion = stop_motion
        self._policy = policy
        self._sole = sole
        self._limits = limits
        self._driving = driving
        self._driven = driven
        self._news = threading.Condition()
        self._by_hand = False
        """Whether the operator has decided the step that is executed."""
        self._chosen: Chosen | None = None
        self._executor: ExecutorStatus | None = None
        self._executor_s = self._executor_busy_s = -math.inf
        self._scene: SceneStatus | None = None
        self._stop = threading.Event()
        self._why_stopped = ""
        self._session = ""
        self._last_step = 0
        """The last step of the session of which something was sent; 0: none."""
        self._settled_ns = 0
        """When it had ended, by the robot's clock; 0: none."""

    # What arrives

    def take_executor(self, status: ExecutorStatus) -> None:
        """The executor published."""
        with self._news:
            self._executor = status
            self._executor_s = time.monotonic()
            if status.state in (ExecutorStatus.HOMING, ExecutorStatus.EXECUTING):
                self._executor_busy_s = self._executor_s

    def take_scene(self, status: SceneStatus) -> None:
        """The simulation published."""
        with self._news:
            self._scene = status
            self._news.notify_all()

    # What is known

    @property
    def scene(self) -> SceneStatus | None:
        """The newest ground truth; None: no simulation."""
        return self._scene

    def fault(self) -> tuple[ReasonCode, str] | None:
        """Why nothing may be started or go on, or None."""
        now_s = time.monotonic()
        executor = self._executor
        if executor is None or now_s - self._executor_s > self._limits.executor_timeout_s:
            return (
                ReasonCode.EXECUTOR_LOST,
                f"executor/status: silent for {self._limits.executor_timeout_s:g} s",
            )
        reason = ReasonCode.of(executor.reason)
        message = explained(reason, executor.reason, executor.message)
        if executor.state == ExecutorStatus.LATCHED:
            return reason, f"the executor is latched: {message}"
        if executor.state > ExecutorStatus.LATCHED:
            return ReasonCode.UNKNOWN, f"executor/status: state {executor.state}; allowed: 0..3"
        conflict = self._policy.conflict()
        if conflict is not None:
            return conflict
        problem = self._sole.problem()
        return (ReasonCode.DUPLICATE_NODE, problem) if problem else None

    def executor_idle(self, since_s: float, patience_s: float) -> bool:
        """Whether the executor has not been seen moving for `patience_s`, `since_s` at earliest."""
        return time.monotonic() - max(since_s, self._executor_busy_s) > patience_s

    def wait_for_closed_door(self, timeout_s: float) -> None:
        """Wait until the simulation says that the scene is as new.

        Raises:
            vinn.errors.RobotError: it does not say so in time.
        """
        # Its answer to the reset may overtake its older ground truth, which is of the last rollout.
        with self._news:
            if not self._news.wait_for(
                lambda: self._scene is not None and not self._scene.opened, timeout_s
            ):
                raise RobotError(
                    f"scene/status: no closed door within {timeout_s:g} s of the reset"
                )

    # A rollout

    def begin(self, session: str) -> None:
        """Forget the last rollout."""
        self._stop.clear()
        self._session, self._last_step, self._settled_ns = session, 0, 0
        if session:
            self._policy.begin()

    def stop(self, why: str = "stopped on request") -> None:
        """End what is under way: the rollout, and the motion; `why` is for people."""
        self._why_stopped = why
        self._stop.set()
        self._policy.wake()
        if self._stop_motion.service_is_ready():
            self._stop_motion.call_async(Trigger.Request())

    def _stopped(self) -> str:
        """Why `stop` was called since `begin`; empty: it was not."""
        return self._why_stopped if self._stop.is_set() else ""

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called since `begin`."""
        return self._stop.is_set()

    def check(self) -> ReasonCode | None:
        """See `run_rollout`."""
        if self._stop.is_set():
            raise RolloutInterrupted(ReasonCode.OPERATOR_STOP, self._why_stopped)
        scene = self._scene
        if self._limits.success and scene is not None and getattr(scene, self._limits.success):
            return ReasonCode.SUCCESS
        fault = self.fault() or self._silence(self._driving.engaged)
        if fault is not None:
            raise RolloutInterrupted(*fault)
        return None

    def _silence(self, by_hand: bool) -> tuple[ReasonCode, str] | None:
        """What has been missing for too long: a policy that does not decide may be silent."""
        return self._policy.blindness() if by_hand else self._policy.silence()

    def drive(self, step: HandStep, settled_s: float) -> Prediction:
        """The operator's step, on an image captured after `settled_s`."""
        stamp_ns, came_s = self._policy.newest_frame(settled_s, self._known, self._stopped)
        message = to_prediction_msg(step.prediction())
        message.header.stamp = to_stamp(stamp_ns)
        message.policy = OPERATOR
        message.session, message.after_step = self._session, self._last_step
        self._chosen, self._by_hand = Chosen(message, came_s), True
        return step.prediction()

    def predict(self, settled_s: float) -> Prediction:
        """The prediction of an image captured after `settled_s`, made when the policy had heard of
        the last step.

        Raises:
            vinn.errors.MessageError: it is of another version of this software.
        """
        self._chosen = self._policy.choose(settled_s, self._known, self._stopped)
        self._by_hand = False
        return from_prediction_msg(self._chosen.message)

    @property
    def _known(self) -> Known:
        return Known(self._session, self._last_step, self._settled_ns)

    def execute(self, prediction: Prediction, sequence: int) -> StepResult:
        """One step of the executor's action."""
        chosen = self._chosen
        if chosen is None:
            raise RolloutInterrupted(ReasonCode.POLICY_LOST, "nothing was predicted")
        message = chosen.message
        # From stamp to now, not to publication: the time in between counts as well.
        message.image_age_s = float(time.monotonic() - chosen.captured_s)
        if self._by_hand:
            message.sequence = sequence
            self._driven(message)
        goal = ExecuteStep.Goal(
            session=self._session, sequence=sequence, prediction=message, driven=self._by_hand
        )
        if not self._step.server_is_ready():
            raise RolloutInterrupted(ReasonCode.EXECUTOR_LOST, "executor/step: not there")
        try:
            handle = wait_for(self._step.send_goal_async(goal), _GOAL_TIMEOUT_S, "executor/step")
        except RobotError as error:
            raise RolloutInterrupted(ReasonCode.EXECUTOR_LOST, str(error)) from error
        if not handle.accepted:
            raise RolloutInterrupted(ReasonCode.EXECUTOR_LOST, "executor/step: goal rejected")
        result, silence = self._wait_for_result(handle)
        if result.sent is not None:
            self._last_step = sequence
        if silence is not None:
            raise RolloutInterrupted(*silence)
        return result

    def _wait_for_result(self, handle: Any) -> tuple[StepResult, tuple[ReasonCode, str] | None]:
        """What became of the step, and what fell silent meanwhile."""
        done = threading.Event()
        future = handle.get_result_async()
        future.add_done_callback(lambda _: done.set())
        deadline_s = time.monotonic() + self._limits.step_timeout_s
        cancelled = False
        silence = None
        while not done.wait(_POLL_S):
            silence = silence or self._silence(self._by_hand)
            taken_over = self._driving.engaged and not self._by_hand
            if (self._stop.is_set() or silence is not None or taken_over) and not cancelled:
                cancelled = True
                handle.cancel_goal_async()
                deadline_s = min(deadline_s, time.monotonic() + _END_OF_STOPPED_STEP_S)
            fault = self.fault()
            if fault is not None and fault[0] is ReasonCode.EXECUTOR_LOST:
                raise RolloutInterrupted(*fault)
            if time.monotonic() > deadline_s:
                raise RolloutInterrupted(
                    ReasonCode.EXECUTOR_LOST,
                    f"executor/step: no result within {self._limits.step_timeout_s:g} s",
                )
        result = future.result().result
        # A step that was refused moved nothing, and says no time.
        self._settled_ns = to_nanoseconds(result.settled) or self._settled_ns
        return to_step_result(result), silence
