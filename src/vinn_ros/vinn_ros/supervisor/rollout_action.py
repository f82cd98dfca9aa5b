"""A rollout as a goal: `supervisor/rollout`, beside the services that start and stop one.

A caller that waits for a rollout, such as a behaviour tree, is one more thing that can go away. The
robot does not go on for a goal that nobody waits for: what is cancelled, and what has no client any
more, is stopped like any other rollout.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from vinn.robot.types import REGULAR_ENDS, ReasonCode
from vinn.rollout.loop import StepRecord

from vinn_msgs.action import Rollout
from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import StartRollout
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.node_executor import QuickGroup

NAME = "supervisor/rollout"
GONE_S = 2.0
"""So long none of the action's clients has been there: discovery takes a moment."""
_POLL_S = 0.1
_RESULT_KEPT_S = 60

Start = Callable[[StartRollout.Request], StartRollout.Response]
Stop = Callable[[str, str], None]
"""Session, and why."""


class RolloutAction:
    """Serves `NAME`; the rollout tells it how it goes. Thread-safe."""

    def __init__(self, node: VinnNode, start: Start, stop: Stop) -> None:
        """Args: whose action, what starts a rollout or refuses to, what stops the one named."""
        self._node = node
        self._start = start
        self._stop = stop
        self._news = threading.Condition()
        self._feedback = Rollout.Feedback()
        self._result = Rollout.Result()
        """Of the rollout that has ended last, by the node or by an action."""
        self._server = ActionServer(
            node,
            Rollout,
            NAME,
            self._execute,
            # Goals are taken and cancelled in it; rollouts are followed in threads of their own.
            callback_group=QuickGroup(),
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            result_timeout=_RESULT_KEPT_S,
        )

    # What the rollout tells

    def tell_step(self, status: RolloutStatus, record: StepRecord) -> None:
        """The robot was sent a step, which `status` counts already."""
        feedback = Rollout.Feedback(
            session=status.session,
            step=status.step,
            novelty=float(record.prediction.novelty if record.prediction else math.nan),
            attempt=record.result.attempt if record.result else 0,
        )
        with self._news:
            self._feedback = feedback
            self._news.notify_all()

    def tell_end(self, status: RolloutStatus, attempts: int) -> None:
        """A rollout has ended, as `status` says, in which the gripper began so many closings."""
        result = Rollout.Result(
            outcome=status.outcome,
            reason=status.reason,
            message=status.message,
            session=status.session,
            steps=status.step,
            attempts=attempts,
            duration_s=status.elapsed_s,
            recording=status.recording,
        )
        with self._news:
            self._result = result
            self._news.notify_all()

    # A goal

    def _execute(self, goal: ServerGoalHandle) -> Rollout.Result:
        """Start, follow, report; refused as the service refuses, with the reason in the result."""
        try:
            request = goal.request
            answer = self._start(
                StartRollout.Request(
                    name=request.name, max_steps=request.max_steps, attempts=request.attempts
                )
            )
            if answer.accepted:
                result = self._follow(goal, answer.session)
            else:
                result = Rollout.Result(reason=answer.reason, message=answer.message)
        except Exception as error:
            self._node.get_logger().error(f"{NAME}: failed\n{traceback.format_exc()}")
            reason = ReasonCode.INTERNAL_ERROR.value
            result = Rollout.Result(reason=reason, message=repr(error))
        judged_well = result.outcome == Rollout.Result.SUCCESS
        if judged_well or (result.outcome == Rollout.Result.UNKNOWN and _without_trouble(result)):
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return result

    def _follow(self, goal: ServerGoalHandle, session: str) -> Rollout.Result:
        """Until the end of the rollout."""
        told = 0
        stopped = False
        seen_s = time.monotonic()
        while True:
            result, feedback = self._wait(session, told)
            if feedback is not None:
                told = feedback.step
                goal.publish_feedback(feedback)
            if result is not None:
                return result
            # Each client of an action listens to its feedback.
            if self._node.count_subscribers(f"{NAME}/_action/feedback"):
                seen_s = time.monotonic()
            why = "cancelled" if goal.is_cancel_requested else ""
            if time.monotonic() - seen_s > GONE_S:
                why = why or f"its client has been gone for {GONE_S:g} s"
            if why and not stopped:
                stopped = True
                self._stop(session, f"{NAME}: {why}")

    def _wait(
        self, session: str, told: int
    ) -> tuple[Rollout.Result | None, Rollout.Feedback | None]:
        """A moment, or until there is a result or more than `told` steps; what there is of both."""

        def stepped() -> bool:
            return bool(self._feedback.session == session and self._feedback.step > told)

        with self._news:
            self._news.wait_for(lambda: self._result.session == session or stepped(), _POLL_S)
            ended = self._result.session == session
            return self._result if ended else None, self._feedback if stepped() else None


def _without_trouble(result: Rollout.Result) -> bool:
    """Whether what nobody has judged yet at least came to a regular end."""
    return ReasonCode.of(result.reason) in REGULAR_ENDS
