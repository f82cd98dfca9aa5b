"""The node that moves the robot: steps of the running session, through the motion filter."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger
from vinn.errors import ConfigError, MessageError, RobotError
from vinn.robot.config import RobotConfig, StartPose, load_robot_config
from vinn.robot.executor import ShouldStop, StepExecutor
from vinn.robot.saved_start import load_start_pose, save_start_pose, start_pose_of
from vinn.robot.types import ReasonCode, StepResult

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.srv import Jog, MoveToStart
from vinn_ros import qos
from vinn_ros.conversions import (
    from_vector3,
    taken_step_fields,
    to_joint_command_msg,
    to_step_request,
    to_step_result_msg,
    to_vector3,
)
from vinn_ros.drivers.build import build_driver
from vinn_ros.executor_parameters import PARAMETERS
from vinn_ros.lease import Lease
from vinn_ros.lifecycle import ERROR, OK, WARN, Diagnosis, VinnNode
from vinn_ros.node_executor import QuickGroup
from vinn_ros.node_main import run_node
from vinn_ros.paths import config_file
from vinn_ros.robot_link import RobotLink
from vinn_ros.sole_publishers import COMMANDERS, SolePublishers
from vinn_ros.tuning import TUNING, tuned

_STATES = ExecutorStatus
_HOME = "executor/home"
_FEEDBACK_PERIOD_S = 0.1


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
        self._start_pose: StartPose | None = None
        """As the operator saved it; None: as configured."""
        self._reset_needed = ""
        """Why a reset must come before the next step; empty: it need not."""
        self._stop = threading.Event()
        self._lease = Lease(self.value("lease_s"))
        self._lost_session = ""
        """The last session that the supervisor left without a word."""
        self._status = ExecutorStatus(reason=ReasonCode.NONE.value)
        self._status_lock = threading.Lock()
        """What is said of a step changes together: nobody sees half of it."""
        self._robot = RobotLink(
            build_driver(
                self.value("driver"),
                self,
                pose_layout=self.value("pose_layout"),
                gripper_unit=self.value("gripper_unit"),
                service_timeout_s=self.value("service_timeout_s"),
            )
        )
        self._sole = SolePublishers(self, COMMANDERS)
        self._publisher = self.create_lifecycle_publisher(
            ExecutorStatus, "executor/status", qos.STREAM
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
        self.serve(MoveToStart, _HOME, self._home, moving)
        self.serve(Jog, "executor/jog", self._jog, moving)
        self.serve(Trigger, "executor/save_start", self._save_start, moving)
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
        if self.value("start_pose_file"):
            self._start_pose = load_start_pose(Path(self.value("start_pose_file")))

    def activate(self) -> None:
        """Allow motion, unless a fault is latched."""
        self._stop.clear()
        self._set_status(state=self._resting_state())

    def deactivate(self) -> None:
        """End what moves; leave the robot holding."""
        self._stop.set()
        with self._robot.lock:
            try:
                self._robot.release()
            except RobotError as error:
                # The robot was given back all the same; a joint may not have been told to hold.
                self.get_logger().error(str(error))
        # What the steps of a session built upon (an open gripper, say) is not known any more.
        self._reset_needed = "it was deactivated: reset before the next step"

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
            self._reset_needed = f"{names} changed: reset before the next step"
        finally:
            self._robot.lock.release()
        self._set_status(reason=ReasonCode.NOT_READY.value, message=self._reset_needed)

    def diagnose(self) -> Diagnosis:
        """Latched is an error, a robot not met yet a warning."""
        values: dict[str, object] = {
            "reason": self._status.reason,
            "session": self._status.session,
            "sequence": self._status.sequence,
        }
        if self._robot.config is not None:
            gripper = self._robot.config.gripper
            values |= {
                "gripper_close_above": gripper.close_above,
                "gripper_open_below": gripper.open_below,
            }
        if self._status.state == _STATES.LATCHED:
            return ERROR, f"latched: {self._status.reason}: {self._status.message}", values
        problem = self._sole.problem()
        if problem:
            return ERROR, f"{ReasonCode.DUPLICATE_NODE.value}: {problem}", values
        if self._status.reason != ReasonCode.NONE.value:
            return WARN, f"{self._status.reason}: {self._status.message}", values
        return OK, "active" if self.active else "not active", values

    # Requests

    def _execute(self, goal: ServerGoalHandle) -> ExecuteStep.Result:
        """Run one step of the action."""
        if not self._robot.lock.acquire(blocking=False):
            return self._finish(goal, _failure(ReasonCode.BUSY, "another motion is under way"))
        try:
            return self._finish(goal, self._step(goal))
        except (RobotError, ConfigError) as error:
            return self._finish(goal, _failure(ReasonCode.ROBOT_ERROR, str(error)))
        except MessageError as error:
            return self._finish(goal, _failure(ReasonCode.INVALID_INPUT, str(error)))
        except Exception as error:
            return self._finish(goal, _failure(*self._failed("executor/step", error)))
        finally:
            self._robot.lock.release()

    def _step(self, goal: ServerGoalHandle) -> ExecuteStep.Result:
        request = goal.request
        refusal = self._refusal(request.session)
        if refusal is not None:
            return _failure(*refusal)
        step = to_step_request(
            request.session,
            request.sequence,
            request.prediction,
            float(request.prediction.image_age_s),
        )
        executor = self._robot.meet()
        fresh: dict[str, int] = {}
        if executor.session != request.session:
            # A stop holds for the rest of the session in which it came.
            self._stop.clear()
            executor.begin_session(request.session, self._lease.attempts)
            fresh = {"taken_step": 0, "steps_taken": 0, "attempt": 0}
            fresh["attempts"] = executor.attempts
        self._set_status(
            state=_STATES.EXECUTING,
            session=request.session,
            sequence=request.sequence,
            gripper_value=request.prediction.gripper_value,
            **fresh,
        )
        number = int(request.prediction.sequence)
        result = executor.execute(
            step,
            should_stop=lambda: self._should_stop(goal, request.session),
            on_progress=_Feedback(goal),
        )
        self._set_status(
            state=self._resting_state(),
            reason=result.reason.value,
            message=result.message,
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
        if refusal is None and self._reset_needed:
            return ReasonCode.NOT_READY, self._reset_needed
        return refusal

    def _failed(self, what: str, error: Exception) -> tuple[ReasonCode, str]:
        """What nobody thought of: in the log, in the status, and nothing goes on moving."""
        self.get_logger().error(f"{what}: failed\n{traceback.format_exc()}")
        reason, message = ReasonCode.INTERNAL_ERROR, repr(error)
        try:
            if self._robot.executor is not None:
                self._robot.driver.hold()
        except Exception as hold_error:
            message += f"; hold failed: {hold_error!r}"
        self._reset_needed = f"{what} failed: reset before the next step"
        self._set_status(state=self._resting_state(), reason=reason.value, message=message)
        return reason, message

    def _home(
        self, request: MoveToStart.Request, response: MoveToStart.Response
    ) -> MoveToStart.Response:
        """Open the gripper and go to the start pose.

        Where its driver may have been started again since the last motion, it is met anew.
        """

        def move(executor: StepExecutor, should_stop: ShouldStop) -> StepResult:
            # What was wrong before is over: READY must not be undone by an older status.
            self._set_status(
                state=_STATES.HOMING, session="", reason=ReasonCode.NONE.value, message=""
            )
            result = executor.move_to_start(
                self._start_pose or self._robot.settings.start_pose,
                from_vector3(request.offset),
                should_stop=should_stop,
                on_progress=lambda doing: self._set_status(message=doing),
            )
            if result.reason is ReasonCode.NONE:
                self._reset_needed = ""
            return result

        reason, response.message = self._outside_rollouts(_HOME, move)
        response.success, response.reason = reason is ReasonCode.NONE, reason.value
        return response

    def _jog(self, request: Jog.Request, response: Jog.Response) -> Jog.Response:
        """Move a little along the camera's axes."""

        def move(executor: StepExecutor, should_stop: ShouldStop) -> StepResult:
            self._set_status(state=_STATES.HOMING, session="")
            result = executor.jog(from_vector3(request.camera_delta), should_stop)
            response.moved = to_vector3(result.measured_camera_delta_m)
            return result

        reason, response.message = self._outside_rollouts("executor/jog", move)
        response.success, response.reason = reason is ReasonCode.NONE, reason.value
        return response

    def _outside_rollouts(
        self, what: str, move: Callable[[StepExecutor, ShouldStop], StepResult]
    ) -> tuple[ReasonCode, str]:
        """Do a motion that belongs to no session; its reason is in the status as well.

        It ends when the supervisor that was there at its beginning falls silent. Asked for by hand,
        without a supervisor, it has nobody to lose.
        """
        supervised = self._lease.alive

        def should_stop() -> ReasonCode | None:
            if supervised and not self._lease.alive:
                return ReasonCode.SUPERVISOR_LOST
            return self._should_stop(None, None)

        if not self.active:
            return ReasonCode.NOT_READY, "the executor is not active"
        if self._lease.session:
            return ReasonCode.BUSY, "a rollout is running"
        if not self._robot.lock.acquire(blocking=False):
            return ReasonCode.BUSY, "another motion is under way"
        try:
            self._stop.clear()
            if what == _HOME and self._robot.driver.interrupted:
                self._robot.meet_anew()
            # Said at once: who asked knows by it that the request has arrived.
            doing = "meeting the robot" if self._robot.executor is None else ""
            self._set_status(state=_STATES.HOMING, message=doing)
            problem = self._sole.settled_problem(
                lambda: should_stop() is not None, lambda told: self._set_status(message=told)
            )
            if problem:
                reason, message = ReasonCode.DUPLICATE_NODE, problem
                self._set_status(state=self._resting_state(), reason=reason.value, message=message)
                return reason, message
            result = move(self._robot.meet(), should_stop)
            self._set_status(
                state=self._resting_state(),
                reason=result.reason.value,
                message=result.message,
                gripper_closed=result.gripper_closed,
            )
            return result.reason, result.message
        except (RobotError, ConfigError) as error:
            reason, message = ReasonCode.ROBOT_ERROR, str(error)
            self._set_status(state=self._resting_state(), reason=reason.value, message=message)
            return reason, message
        except Exception as error:
            return self._failed(what, error)
        finally:
            self._robot.lock.release()

    def _save_start(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Where the robot stands now is where rollouts start from now on."""
        try:
            if not self.active or self._lease.session or self._robot.lock.locked():
                raise RobotError("executor: not active, or the robot is moving")
            with self._robot.lock:
                pose = start_pose_of(self._robot.state())
            if self.value("start_pose_file"):
                save_start_pose(Path(self.value("start_pose_file")), pose)
        except (RobotError, ConfigError) as error:
            response.success, response.message = False, str(error)
            return response
        self._start_pose = pose
        self._reset_needed = "another start pose: reset before the next step"
        self._set_status(reason=ReasonCode.NOT_READY.value, message=self._reset_needed)
        response.success = True
        response.message = (
            f"start pose: lift {pose.lift_m:.3f} m, arm {pose.arm_m:.3f} m, "
            f"wrist yaw {pose.wrist_yaw_rad:.2f} rad, base where it stands"
        )
        return response

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
            self._set_status(state=_STATES.IDLE, reason=ReasonCode.NONE.value, message="")
        response.success = True
        response.message = f"cleared: {latched.value}" if latched else "nothing was latched"
        return response

    # Inside

    def _tuning(self) -> dict[str, float]:
        return {parameter.name: self.value(parameter.name) for parameter in TUNING}

    def _should_stop(self, goal: ServerGoalHandle | None, session: str | None) -> ReasonCode | None:
        """Why the motion under way must end; polled by `StepExecutor`."""
        if self._stop.is_set() or not self.active:
            return ReasonCode.OPERATOR_STOP
        if goal is not None and goal.is_cancel_requested:
            return ReasonCode.OPERATOR_STOP
        if session is not None:
            refusal = self._lease.refusal(session)
            if refusal is not None:
                # Two supervisors take the lease from each other.
                return ReasonCode.DUPLICATE_NODE if self._sole.problem() else refusal[0]
        return None

    def _resting_state(self) -> int:
        return int(_STATES.IDLE if self._robot.latched is None else _STATES.LATCHED)

    def _tick(self) -> None:
        """Publish the status; between the steps of a session, look at robot and supervisor."""
        lost = self._lease.lost_session
        if self._lease.session and self._robot.executor is not None:
            self._look()
        elif lost and lost != self._lost_session and not self._robot.lock.locked():
            self._lost_session = lost
            # A supervisor that comes back must not go on as if nothing had been.
            self._reset_needed = "the supervisor was lost: reset before the next step"
            self._set_status(
                reason=ReasonCode.SUPERVISOR_LOST.value, message="lost between two steps"
            )
        self._publish()

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
                self._set_status(
                    state=self._resting_state(),
                    reason=reason.value,
                    message="seen between two steps",
                )
        finally:
            self._robot.lock.release()

    def _set_status(self, **fields: Any) -> None:
        """Change the status and publish it at once."""
        with self._status_lock:
            for name, value in fields.items():
                setattr(self._status, name, value)
            self._publish_locked()
        self.publish_changed_diagnostics()

    def _publish(self) -> None:
        with self._status_lock:
            self._publish_locked()

    def _publish_locked(self) -> None:
        self._status.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(self._status)

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


if __name__ == "__main__":
    main()
