"""The executor's motions that belong to no rollout: to the start pose, and jogs."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from std_srvs.srv import Trigger
from vinn.errors import ConfigError, RobotError
from vinn.robot.config import StartPose
from vinn.robot.executor import ShouldStop, StepExecutor
from vinn.robot.saved_start import load_start_pose, save_start_pose, start_pose_of
from vinn.robot.types import ReasonCode, StepResult

from vinn_msgs.msg import ExecutorStatus
from vinn_msgs.srv import Jog, MoveToStart
from vinn_ros.conversions import from_vector3, to_vector3
from vinn_ros.executor.lease import Lease
from vinn_ros.executor.robot_link import RobotLink
from vinn_ros.executor.voice import ExecutorVoice
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.sole_publishers import SolePublishers

HOME, JOG, SAVE_START = "executor/home", "executor/jog", "executor/save_start"


class FreeMotions:
    """Serves `HOME`, `JOG` and `SAVE_START`."""

    def __init__(
        self,
        node: VinnNode,
        link: RobotLink,
        lease: Lease,
        sole: SolePublishers,
        voice: ExecutorVoice,
        stop: threading.Event,
        start_pose_file: str,
    ) -> None:
        """Args: who serves, the robot, who may move it, who must be alone, what is said, what ends
        a motion, and where the saved start pose lies (empty: nowhere).
        """
        self._node = node
        self._link = link
        self._lease = lease
        self._sole = sole
        self._voice = voice
        self._stop = stop
        self._file = start_pose_file
        self._start_pose: StartPose | None = None
        """As the operator saved it; None: as configured."""

    def load_start_pose(self) -> None:
        """Take the saved start pose, if there is one.

        Raises:
            vinn.errors.ConfigError: it cannot be read.
        """
        if self._file:
            self._start_pose = load_start_pose(Path(self._file))

    # Requests

    def home(
        self, request: MoveToStart.Request, response: MoveToStart.Response
    ) -> MoveToStart.Response:
        """Open the gripper and go to the start pose.

        Where its driver may have been started again since the last motion, it is met anew.
        """

        def move(executor: StepExecutor, should_stop: ShouldStop) -> StepResult:
            # What was wrong before is over: READY must not be undone by an older status.
            self._voice.say(
                state=ExecutorStatus.HOMING, session="", reason=ReasonCode.NONE.value, message=""
            )
            result = executor.move_to_start(
                self._start_pose or self._link.settings.start_pose,
                from_vector3(request.offset),
                should_stop=should_stop,
                on_progress=lambda doing: self._voice.say(message=doing),
            )
            if result.reason is ReasonCode.NONE:
                self._link.reset_needed = ""
            return result

        reason, response.message = self._do(HOME, move)
        response.success, response.reason = reason is ReasonCode.NONE, reason.value
        return response

    def jog(self, request: Jog.Request, response: Jog.Response) -> Jog.Response:
        """Move a little along the camera's axes."""

        def move(executor: StepExecutor, should_stop: ShouldStop) -> StepResult:
            self._voice.say(state=ExecutorStatus.HOMING, session="")
            result = executor.jog(from_vector3(request.camera_delta), should_stop)
            response.moved = to_vector3(result.measured_camera_delta_m)
            return result

        reason, response.message = self._do(JOG, move)
        response.success, response.reason = reason is ReasonCode.NONE, reason.value
        return response

    def save_start(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Where the robot stands now is where rollouts start from now on."""
        try:
            if not self._node.active or self._lease.session or self._link.lock.locked():
                raise RobotError("executor: not active, or the robot is moving")
            with self._link.lock:
                pose = start_pose_of(self._link.state())
            if self._file:
                save_start_pose(Path(self._file), pose)
        except (RobotError, ConfigError) as error:
            response.success, response.message = False, str(error)
            return response
        self._start_pose = pose
        self._link.reset_needed = "another start pose: reset before the next step"
        self._voice.say(reason=ReasonCode.NOT_READY.value, message=self._link.reset_needed)
        response.success = True
        response.message = (
            f"start pose: lift {pose.lift_m:.3f} m, arm {pose.arm_m:.3f} m, "
            f"wrist yaw {pose.wrist_yaw_rad:.2f} rad, base where it stands"
        )
        return response

    # Inside

    def _do(
        self, what: str, move: Callable[[StepExecutor, ShouldStop], StepResult]
    ) -> tuple[ReasonCode, str]:
        """Do a motion; its reason is in the status as well.

        It ends when the supervisor that was there at its beginning falls silent. Asked for by hand,
        without a supervisor, it has nobody to lose.
        """
        supervised = self._lease.alive

        def should_stop() -> ReasonCode | None:
            if supervised and not self._lease.alive:
                return ReasonCode.SUPERVISOR_LOST
            return ReasonCode.OPERATOR_STOP if self._stopping else None

        if not self._node.active:
            return ReasonCode.NOT_READY, "the executor is not active"
        if self._lease.session:
            return ReasonCode.BUSY, "a rollout is running"
        if not self._link.lock.acquire(blocking=False):
            return ReasonCode.BUSY, "another motion is under way"
        try:
            self._stop.clear()
            if what == HOME and self._link.driver.interrupted:
                self._link.meet_anew()
            # Said at once: who asked knows by it that the request has arrived.
            doing = "meeting the robot" if self._link.executor is None else ""
            self._voice.say(state=ExecutorStatus.HOMING, message=doing)
            problem = self._sole.settled_problem(
                lambda: should_stop() is not None, lambda told: self._voice.say(message=told)
            )
            if problem:
                return self._voice.rest(ReasonCode.DUPLICATE_NODE, problem)
            result = move(self._link.meet(), should_stop)
            return self._voice.rest(
                result.reason, result.message, gripper_closed=result.gripper_closed
            )
        except (RobotError, ConfigError) as error:
            return self._voice.rest(ReasonCode.ROBOT_ERROR, str(error))
        except Exception as error:
            self._node.get_logger().error(f"{what}: failed\n{traceback.format_exc()}")
            return self._voice.rest(*self._link.give_up(what, error))
        finally:
            self._link.lock.release()

    @property
    def _stopping(self) -> bool:
        return self._stop.is_set() or not self._node.active
