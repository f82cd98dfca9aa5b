"""The supervisor's links to policy, executor and scene, as the callables `run_rollout` wants.

All deadlines are on the steady clock. A link that goes silent ends the rollout with its reason.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
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
from vinn_msgs.msg import ExecutorStatus, PolicyStatus, SceneStatus
from vinn_msgs.msg import Prediction as PredictionMsg
from vinn_ros.calls import wait_for
from vinn_ros.conversions import from_prediction_msg, to_nanoseconds, to_step_result

_POLL_S = 0.05
_GOAL_TIMEOUT_S = 1.0
_END_OF_STOPPED_STEP_S = 2.0
_REMEMBERED_FRAMES = 256


@dataclass(frozen=True)
class Limits:
    """How long a link may be silent, and what counts as success."""

    prediction_timeout_s: float
    """From the moment a prediction is wanted."""
    policy_timeout_s: float
    """Without a prediction, whether one is wanted or not."""
    camera_timeout_s: float
    executor_timeout_s: float
    """Between two executor/status."""
    step_timeout_s: float
    success: str
    """Field of SceneStatus that ends a rollout; empty: the operator judges."""


class RolloutLinks:
    """What arrived last from whom, and one step after the other. Thread-safe."""

    def __init__(self, step: ActionClient, stop_motion: Client, limits: Limits) -> None:
        """Args: the executor's action and stop service, and limits."""
        self._step = step
        self._stop_motion = stop_motion
        self._limits = limits
        self._news = threading.Condition()
        self._prediction: PredictionMsg | None = None
        self._captured_s = -math.inf
        self._predicted_s = -math.inf
        self._camera_s = -math.inf
        self._frames: OrderedDict[int, float] = OrderedDict()
        """When frames came in here, by their stamp; the newest."""
        self._refusal: tuple[ReasonCode, str] | None = None
        """Why the newest frame leads to no prediction; None: it does, or none came yet."""
        self._refused_s = self._heeded_refusal_s = -math.inf
        self._executor: ExecutorStatus | None = None
        self._executor_s = self._executor_busy_s = -math.inf
        self._scene: SceneStatus | None = None
        self._stop = threading.Event()
        self._session = ""
        self._last_step = 0
        """The last step of the session of which something was sent; 0: none."""
        self._started_s = 0.0

    # What arrives

    def take_frame(self, stamp_ns: int) -> None:
        """A camera frame was published."""
        with self._news:
            self._camera_s = time.monotonic()
            self._frames[stamp_ns] = self._camera_s
            if len(self._frames) > _REMEMBERED_FRAMES:
                self._frames.popitem(last=False)

    def take_prediction(self, prediction: PredictionMsg) -> None:
        """The policy published. One that was overtaken by a newer one, or came twice, is dropped;
        a policy that was silent for long may have begun to count anew.
        """
        received_s = time.monotonic()
        with self._news:
            newest = self._prediction
            restarted = received_s - self._predicted_s > self._limits.policy_timeout_s
            if newest is not None and 0 < prediction.sequence <= newest.sequence and not restarted:
                return
            self._prediction = prediction
            self._predicted_s = received_s
            # The policy knows how old the image was when it published; how long the prediction was
            # under way is seen here, since the frame came here as well.
            captured_s = received_s - max(0.0, float(prediction.image_age_s))
            frame_s = self._frames.get(to_nanoseconds(prediction.header.stamp), captured_s)
            self._captured_s = min(captured_s, frame_s)
            self._refusal = None
            self._news.notify_all()

    def take_policy_status(self, status: PolicyStatus) -> None:
        """The policy says that it cannot use a frame, or that it can again."""
        reason = ReasonCode(status.reason)
        with self._news:
            if reason is ReasonCode.NONE:
                self._refusal = None
            else:
                self._refusal = (reason, status.message)
                self._refused_s = time.monotonic()
            self._news.notify_all()

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
    def policy(self) -> str:
        """Name and hash of the artefact that predicted last; empty: nothing was predicted."""
        prediction = self._prediction
        return "" if prediction is None else str(prediction.policy)

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
        if executor.state == ExecutorStatus.LATCHED:
            return ReasonCode(executor.reason), f"the executor is latched: {executor.message}"
        return None

    def silence(self) -> tuple[ReasonCode, str] | None:
        """What has been missing for too long in a running rollout, or None: frames, or
        predictions (because the policy refuses what it sees, or is gone).
        """
        now_s = time.monotonic()
        limits = self._limits
        if now_s - self._camera_s > limits.camera_timeout_s:
            return (
                ReasonCode.CAMERA_STALE,
                f"wrist_camera: silent for {limits.camera_timeout_s:g} s",
            )
        if now_s - self._predicted_s > limits.policy_timeout_s:
            if self._refusal is not None and now_s - self._refused_s <= limits.policy_timeout_s:
                return self._refusal
            return (
                ReasonCode.POLICY_LOST,
                f"policy/prediction: silent for {limits.policy_timeout_s:g} s",
            )
        return None

    def not_seeing(self) -> tuple[ReasonCode, str] | None:
        """Why no step could be predicted now, or None."""
        now_s = time.monotonic()
        if self._refusal is not None:
            return self._refusal
        if now_s - self._predicted_s <= self._limits.prediction_timeout_s:
            return None
        if now_s - self._camera_s > self._limits.camera_timeout_s:
            return (
                ReasonCode.CAMERA_STALE,
                f"wrist_camera: silent for {self._limits.camera_timeout_s:g} s",
            )
        return (
            ReasonCode.POLICY_LOST,
            f"policy/prediction: silent for {self._limits.prediction_timeout_s:g} s",
        )

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
        self._session, self._last_step = session, 0
        self._started_s = time.monotonic()

    def stop(self) -> None:
        """End what is under way: the rollout, and the motion."""
        self._stop.set()
        with self._news:
            self._news.notify_all()
        if self._stop_motion.service_is_ready():
            self._stop_motion.call_async(Trigger.Request())

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called since `begin`."""
        return self._stop.is_set()

    def check(self) -> ReasonCode | None:
        """See `run_rollout`."""
        if self._stop.is_set():
            return ReasonCode.OPERATOR_STOP
        scene = self._scene
        if self._limits.success and scene is not None and getattr(scene, self._limits.success):
            return ReasonCode.SUCCESS
        fault = self.fault() or self.silence()
        if fault is not None:
            raise RolloutInterrupted(*fault)
        return None

    def predict(self, settled_s: float) -> Prediction:
        """The prediction of an image captured after `settled_s`, made when the policy had heard of
        the last step.
        """
        deadline_s = time.monotonic() + self._limits.prediction_timeout_s
        with self._news:
            while (
                self._prediction is None
                or self._captured_s <= settled_s
                or self._unaware(self._prediction)
            ):
                if self._stop.is_set():
                    raise RolloutInterrupted(ReasonCode.OPERATOR_STOP, "stopped on request")
                if self._refusal is not None and self._refused_s > max(
                    settled_s, self._heeded_refusal_s
                ):
                    # Each refused frame is a troubled step of its own: a few in a row are borne.
                    self._heeded_refusal_s = self._refused_s
                    raise RolloutInterrupted(*self._refusal)
                silence = self.silence()
                if silence is not None:
                    raise RolloutInterrupted(*silence)
                left_s = deadline_s - time.monotonic()
                if left_s <= 0.0:
                    raise RolloutInterrupted(*self._why_no_prediction(settled_s))
                self._news.wait(min(left_s, _POLL_S))
            self._chosen = self._prediction
            self._chosen_captured_s = self._captured_s
        return from_prediction_msg(self._chosen)

    def _unaware(self, prediction: PredictionMsg) -> str:
        """What the policy had not heard of yet when it predicted; empty: nothing."""
        if prediction.session != self._session:
            known = f"session {prediction.session!r}" if prediction.session else "no session"
            return f"session {self._session!r} (the policy knows of {known})"
        if prediction.after_step != self._last_step:
            return f"step {self._last_step} (the policy knows of step {prediction.after_step})"
        return ""

    def _why_no_prediction(self, settled_s: float) -> tuple[ReasonCode, str]:
        reason = self.not_seeing()
        if reason is not None:
            return reason
        prediction = self._prediction
        if prediction is not None and self._captured_s > settled_s:
            return (
                ReasonCode.POLICY_LOST,
                f"policy/prediction: for {self._limits.prediction_timeout_s:g} s none that knows "
                f"of {self._unaware(prediction)}",
            )
        return (
            ReasonCode.STALE_INPUT,
            f"policy/prediction: no new image within {self._limits.prediction_timeout_s:g} s",
        )

    def execute(self, prediction: Prediction, sequence: int) -> StepResult:
        """One step of the executor's action."""
        message = self._chosen
        # From stamp to now, not to publication: the time in between counts as well.
        message.image_age_s = float(time.monotonic() - self._chosen_captured_s)
        goal = ExecuteStep.Goal(session=self._session, sequence=sequence, prediction=message)
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
            silence = silence or self.silence()
            if (self._stop.is_set() or silence is not None) and not cancelled:
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
        return to_step_result(future.result().result), silence
