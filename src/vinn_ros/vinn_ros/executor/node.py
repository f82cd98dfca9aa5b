"""The node that moves the robot: steps of the running session, through the motion filter."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger
from vinn.errors import ConfigError, MessageError, RobotError
from vinn.robot.config import RobotConfig, load_robot_config
from vinn.robot.types import ReasonCode

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.srv import Jog, MoveToStart
from vinn_ros.conversions import (
    taken_step_fields,
    to_joint_command_msg,
    to_step_request,
    to_step_result_msg,
    to_vector3,
)
from vinn_ros.drivers.driver import DriverSettings
from vinn_ros.drivers.pose_command import AUTO
from vinn_ros.drivers.registry import DRIVERS
from vinn_ros.executor.free_motions import HOME, JOG, SAVE_START, FreeMotions
from vinn_ros.executor.lease import Lease
from vinn_ros.executor.parameters import PARAMETERS
from vinn_ros.executor.robot_link import RobotLink
from vinn_ros.executor.voice import ExecutorVoice
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import ERROR, OK, WARN, Diagnosis, VinnNode
from vinn_ros.node.main import run_node
from vinn_ros.node.node_executor import QuickGroup
from vinn_ros.node.sole_publishers import COMMANDERS, SolePublishers
from vinn_ros.paths import config_file
from vinn_ros.tuning import TUNING, tuned

_STATES = ExecutorStatus
_FEEDBACK_PERIOD_S = 0.1
_OVERTAKEN_S = 1.0
"""So much later than the first step the word of its session may come: a link that loses packets
sends it again. The step's image gets older meanwhile."""


class StretchExecutorNode(VinnNode):
    """Executes steps of the one session that the supervisor says is running.

    One lock stands for the robot: whoever holds it (a step, a homing, the look between steps) is
    the one thread that talks to `StepExecutor`. Stop and status never wait for it.
    """

    NAME = "stretch_executor"
    PARAMETERS = PARAMETERS

    def __init__(self, cli_args: list[str] | None = None) -> None:
        """See `VinnNode`."""
        super().__init__(cli_args)
        self._configured: RobotConfig | None = None
        """As the file says; the link's has the tuning parameters in it."""
        self._stop = threading.Event()
        self._lease = Lease(self.value("lease_s"))
        self._lost_session = ""
        """The last session that the supervisor left without a word."""
        self._robot = RobotLink(DRIVERS[self.value("driver")].build(self, self._driver_settings()))
        self._sole = SolePublishers(self, COMMANDERS)
        self._voice = ExecutorVoice(self, self._robot)
        self._free = FreeMotions(
            self,
            self._robot,
            self._lease,
            self._sole,
            self._voice,
            self._stop,
            self.value("start_pose_file"),
        )
        moving, quick = ReentrantCallbackGroup(), ReentrantCallbackGroup()
        self._action = ActionServer(
            self,
            ExecuteStep,
            "executor/step",
            self._execute,
            # Goals are taken and cancelled in it; steps run in threads of their own.
            callback_group=QuickGroup(),
            goal_callback=lambda goal: GoalResponse.ACCEPT if self.active else GoalResponse.REJECT,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            result_timeout=10,
        )
        self.serve(MoveToStart, HOME, self._free.home, moving)
        self.serve(Jog, JOG, self._free.jog, moving)
        self.serve(Trigger, SAVE_START, self._free.save_start, moving)
        self.serve(Trigger, "executor/stop", self._on_stop, quick)
        self.serve(Trigger, "executor/clear_latch", self._clear_latch, quick)
        self.subscribe(
            RolloutStatus,
            "supervisor/status",
            lambda status: self._lease.renew(
                status.session, status.state == RolloutStatus.RUNNING, int(status.attempts)
            ),
            qos.STREAM,
            QuickGroup(),
        )
        self.every(1.0 / self.value("status_rate_hz"), self._tick, QuickGroup())

    # Lifecycle

    def configure(self) -> None:
        """Read the robot's settings. The robot itself is met at the first motion."""
        file = config_file(self.value("robot_config"), "robot_config")
        self._configured = load_robot_config(file)
        self._robot.config = tuned(self._configured, self._tuning())
        self._free.load_start_pose()

    def activate(self) -> None:
        """Allow motion, unless a fault is latched."""
        self._stop.clear()
        status = self._voice.status
        self._voice.rest(ReasonCode.of(status.reason), status.message)

    def deactivate(self) -> None:
        """End what moves; leave the robot holding."""
        self._stop.set()
        with self._robot.lock:
            self._robot.release()
        # What the steps of a session built upon (an open gripper, say) is not known any more.
        self._robot.reset_needed = "it was deactivated: reset before the next step"

    def parameters_changed(self, values: dict[str, Any]) -> None:
        """Take over tuning parameters, between two rollouts."""
        tuning = {p.name: values[p.name] for p in TUNING if p.name in values}
        if not tuning or self._configured is None:
            return
        config = tuned(self._configured, {**self._tuning(), **tuning})
        names = ", ".join(tuning)
        if self._lease.session:
            raise ConfigError(f"{names}: not during a rollout")
        if not self._robot.lock.acquire(blocking=False):
            raise ConfigError(f"{names}: not while the robot moves")
        try:
            self._robot.use(config)
            self._robot.reset_needed = f"{names} changed: reset before the next step"
        finally:
            self._robot.lock.release()
        self._voice.say(reason=ReasonCode.NOT_READY.value, message=self._robot.reset_needed)

    def diagnose(self) -> Diagnosis:
        """Latched is an error, a robot not met yet a warning."""
        status = self._voice.status
        values: dict[str, object] = {
            "reason": status.reason,
            "session": status.session,
            "sequence": status.sequence,
        }
        if self._robot.config is not None:
            gripper = self._robot.config.gripper
            values |= {
                "gripper_close_above": gripper.close_above,
                "gripper_open_below": gripper.open_below,
            }
        if status.state == _STATES.LATCHED:
            return ERROR, f"latched: {status.reason}: {status.message}", values
        problem = self._sole.problem()
        if problem:
            return ERROR, f"{ReasonCode.DUPLICATE_NODE.value}: {problem}", values
        if status.reason != ReasonCode.NONE.value:
            return WARN, f"{status.reason}: {status.message}", values
        return OK, "active" if self.active else "not active", values

    # Requests

    def _execute(self, goal: ServerGoalHandle) -> ExecuteStep.Result:
        """Run one step of the action."""
        came_s = time.monotonic()
        self._lease.expect(goal.request.session, _OVERTAKEN_S)
        if not self._robot.lock.acquire(blocking=False):
            return self._finish(goal, _failure(ReasonCode.BUSY, "another motion is under way"))
        try:
            return self._finish(goal, self._step(goal, came_s))
        except (RobotError, ConfigError) as error:
            return self._finish(goal, _failure(ReasonCode.ROBOT_ERROR, str(error)))
        except MessageError as error:
            return self._finish(goal, _failure(ReasonCode.INVALID_INPUT, str(error)))
        except Exception as error:
            self.get_logger().error(f"executor/step: failed\n{traceback.format_exc()}")
            given_up = self._voice.rest(*self._robot.give_up("executor/step", error))
            return self._finish(goal, _failure(*given_up))
        finally:
            self._robot.lock.release()

    def _step(self, goal: ServerGoalHandle, came_s: float) -> ExecuteStep.Result:
        request = goal.request
        refusal = self._refusal(request.session)
        if refusal is not None:
            return _failure(*refusal)
        step = to_step_request(
            request.session,
            request.sequence,
            request.prediction,
            float(request.prediction.image_age_s) + time.monotonic() - came_s,
            bool(request.driven),
        )
        executor = self._robot.meet()
        fresh: dict[str, int] = {}
        if executor.session != request.session:
            # A stop holds for the rest of the session in which it came.
            self._stop.clear()
            executor.begin_session(request.session, self._lease.attempts)
            fresh = {"taken_step": 0, "steps_taken": 0, "attempt": 0}
            fresh["attempts"] = executor.attempts
        self._voice.say(
            state=_STATES.EXECUTING,
            session=request.session,
            sequence=request.sequence,
            gripper_value=request.prediction.gripper_value,
            **fresh,
        )
        # Of a step by hand no policy has heard.
        number = 0 if request.driven else int(request.prediction.sequence)
        result = executor.execute(
            step,
            should_stop=lambda: self._should_stop(goal, request.session),
            on_progress=_Feedback(goal),
        )
        self._voice.rest(
            result.reason,
            result.message,
            requested_base_delta=to_vector3(result.requested_base_delta_m),
            sent_base_delta=to_vector3(result.sent_base_delta_m),
            sent=to_joint_command_msg(result.sent),
            gripper_closed=result.gripper_closed,
            **(taken_step_fields(result, executor.tally, number) if result.sent else {}),
        )
        return to_step_result_msg(result, number, self.get_clock().now().to_msg())

    def _refusal(self, session: str) -> tuple[ReasonCode, str] | None:
        """Why no step of `session` may be executed now, or None."""
        problem = self._sole.problem()
        if problem:
            return ReasonCode.DUPLICATE_NODE, problem
        refusal = self._lease.refusal(session)
        if refusal is None and self._robot.reset_needed:
            return ReasonCode.NOT_READY, self._robot.reset_needed
        return refusal

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """End what moves; at rest there is nothing to do."""
        self._stop.set()
        response.success = True
        response.message = "stopping" if self._robot.lock.locked() else "nothing was moving"
        return response

    def _clear_latch(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Allow motion again after a fault."""
        latched = self._robot.clear_latch()
        if latched is not None:
            self._voice.rest(ReasonCode.NONE, "")
        response.success = True
        response.message = f"cleared: {latched.value}" if latched else "nothing was latched"
        return response

    # Inside

    def _driver_settings(self) -> DriverSettings:
        layout = self.value("pose_layout")
        return DriverSettings(
            () if list(layout) == [AUTO] else tuple(layout),
            self.value("gripper_unit"),
            self.value("service_timeout_s"),
        )

    def _tuning(self) -> dict[str, float]:
        return {parameter.name: self.value(parameter.name) for parameter in TUNING}

    def _should_stop(self, goal: ServerGoalHandle, session: str) -> ReasonCode | None:
        """Why the step under way must end; polled by `StepExecutor`."""
        if self._stop.is_set() or not self.active or goal.is_cancel_requested:
            return ReasonCode.OPERATOR_STOP
        refusal = self._lease.refusal(session)
        if refusal is None:
            return None
        # Two supervisors take the lease from each other.
        return ReasonCode.DUPLICATE_NODE if self._sole.problem() else refusal[0]

    def _tick(self) -> None:
        """Publish the status; between the steps of a session, look at robot and supervisor."""
        lost = self._lease.lost_session
        if self._lease.session and self._robot.executor is not None:
            self._look()
        elif lost and lost != self._lost_session and not self._robot.lock.locked():
            self._lost_session = lost
            # A supervisor that comes back must not go on as if nothing had been.
            self._robot.reset_needed = "the supervisor was lost: reset before the next step"
            self._voice.rest(ReasonCode.SUPERVISOR_LOST, "lost between two steps")
        self._voice.repeat()

    def _look(self) -> None:
        """A fault between two steps latches as one during a step does."""
        if not self._robot.lock.acquire(blocking=False):
            return
        try:
            executor = self._robot.executor
            if executor is None or executor.latched is not None:
                return
            reason = executor.check_robot()
            if reason is not None:
                self._voice.rest(reason, "seen between two steps")
        finally:
            self._robot.lock.release()

    def _finish(self, goal: ServerGoalHandle, result: ExecuteStep.Result) -> ExecuteStep.Result:
        if result.error_code == ReasonCode.NONE.value:
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return result


class _Feedback:
    """Tells the client what remains, at a bounded rate."""

    def __init__(self, goal: ServerGoalHandle) -> None:
        self._goal = goal
        self._due_s = time.monotonic() + _FEEDBACK_PERIOD_S

    def __call__(self, remaining: float) -> None:
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + _FEEDBACK_PERIOD_S
            self._goal.publish_feedback(ExecuteStep.Feedback(remaining_m=float(remaining)))


def _failure(reason: ReasonCode, message: str) -> ExecuteStep.Result:
    return ExecuteStep.Result(error_code=reason.value, error_msg=message)


NODE = StretchExecutorNode


def main() -> None:
    """Run the node."""
    run_node(NODE)
