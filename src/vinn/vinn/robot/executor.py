"""Steps to completion: read, filter, send, wait for arrival, or halt with a reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vinn.errors import RobotError
from vinn.robot.arrival import ARM_JOINTS, ArrivalMonitor, base_advance_m
from vinn.robot.checks.readiness import Halted, check_ready
from vinn.robot.config import ExecutorConfig, StartPose
from vinn.robot.gripper import note_motion
from vinn.robot.held_targets import held_targets
from vinn.robot.motion_filter import Decision, FilterMemory, MotionFilter
from vinn.robot.odometry import base_R_camera
from vinn.robot.session import SessionTally
from vinn.robot.start_motion import plan_start
from vinn.robot.step_measurement import measured
from vinn.robot.types import (
    JointCommand,
    ReasonCode,
    RobotDriver,
    RobotState,
    StepRequest,
    StepResult,
)

ShouldStop = Callable[[], ReasonCode | None]
"""Polled while the robot moves; a reason ends the motion with a hold."""


class StepExecutor:
    """Executes the steps of one session, in order, each at most once.

    One thread calls `execute`, `move_to_start`, `begin_session` and `check_robot`. `clear_latch`
    and the properties may be used from another; to stop from another thread, let `should_stop`
    return a reason.
    """

    def __init__(
        self,
        driver: RobotDriver,
        motion_filter: MotionFilter,
        config: ExecutorConfig,
        latched: ReasonCode | None = None,
    ) -> None:
        """Args: the robot, what judges its steps, settings, the fault that is latched already."""
        self._driver = driver
        self._filter = motion_filter
        self._config = config
        self._memory = FilterMemory()
        self._tally = SessionTally()
        self._latched = latched
        self._newest: RobotState | None = None
        self._before: RobotState | None = None

    @property
    def session(self) -> str:
        """The session whose steps are executed; empty: none."""
        return self._tally.session

    @property
    def tally(self) -> SessionTally:
        """Steps and way of the session; of the last one if none is active."""
        return self._tally

    @property
    def gripper_closed(self) -> bool:
        """State of the gripper state machine."""
        return self._memory.gripper.closed

    @property
    def attempts(self) -> int:
        """Closings on nothing that are allowed in a session."""
        return self._memory.attempts or self._filter.config.gripper.attempts

    @property
    def latched(self) -> ReasonCode | None:
        """The fault that an operator has to clear before anything moves again."""
        return self._latched

    def clear_latch(self) -> None:
        """Allow motion again after a fault. Moves nothing."""
        self._latched = None

    def use_filter(self, motion_filter: MotionFilter) -> None:
        """Judge the steps to come by another filter; a latch stays. Between two motions only."""
        self._filter = motion_filter

    def begin_session(self, session: str, attempts: int | None = None) -> None:
        """Execute the steps of `session` from now on, and of no other.

        Args:
            session: id of the rollout.
            attempts: closings on nothing that are allowed in it, 1 or more; None: as configured.
        """
        self._tally = SessionTally(session)
        # Joint targets stay: they are what the robot was last told. The gripper is open by now.
        self._memory = FilterMemory(held=self._memory.held, attempts=attempts)

    def end_session(self) -> None:
        """Refuse every step until a session begins."""
        self._tally = replace(self._tally, session="")

    def check_robot(self) -> ReasonCode | None:
        """Look at the robot between steps; a fault is latched. None: it may move."""
        try:
            self._read_state()
        except Halted as halt:
            self._halt(halt, moving=False)
            return halt.reason
        return self._latched

    def execute(
        self,
        request: StepRequest,
        should_stop: ShouldStop | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> StepResult:
        """Do one step and return when it has arrived, was refused, or was halted.

        Args:
            request: what the policy wants.
            should_stop: polled every `poll_s`; a reason holds the robot and ends the step.
            on_progress: told the largest remaining joint error [m or rad] at every poll.
        """
        started_s = self._driver.now_s()
        decision = Decision(ReasonCode.NONE, "", self._memory)
        sent: JointCommand | None = None
        try:
            self._accept(request)
            state = self._read_state()
            decision = self._filter.filter(request, state, self._memory_at(state))
            sent, monitor = self._send(decision, state, should_stop)
            self._wait(monitor, should_stop, on_progress)
            reason, message = decision.reason, decision.message
        except Halted as halt:
            reason, message = self._halt(halt, moving=sent is not None)
        if sent is not None:
            self._note_motion(state)
        result = self._result(reason, message, decision, sent, started_s)
        self._tally = self._tally.after(result)
        return result

    def jog(
        self, camera_delta_m: NDArray[np.float64], should_stop: ShouldStop | None = None
    ) -> StepResult:
        """Move the gripper a little along the camera's axes; the gripper stays as it is.

        For the check of the camera's mounting. Ends the session.

        Args:
            camera_delta_m: (3,) in the optical frame as configured, at most one step long [m].
            should_stop: as in `execute`.
        """
        started_s = self._driver.now_s()
        self.end_session()
        config = self._filter.config
        delta = np.asarray(camera_delta_m, dtype=np.float64)
        decision = Decision(ReasonCode.NONE, "", self._memory)
        sent: JointCommand | None = None
        try:
            self._refuse_latched()
            cap = config.motion.step_cap_m
            if delta.shape != (3,) or not np.linalg.norm(delta) <= cap:
                raise Halted(
                    ReasonCode.INVALID_INPUT,
                    f"camera_delta: {delta.tolist()}; allowed: at most {cap:g} m",
                )
            state = self._read_state()
            decision = self._filter.limit(
                base_R_camera(state, config.camera) @ delta,
                self._memory.gripper.closed,
                state,
                self._memory,
            )
            sent, monitor = self._send(decision, state, should_stop)
            self._wait(monitor, should_stop, None)
            reason, message = decision.reason, decision.message
        except Halted as halt:
            reason, message = self._halt(halt, moving=sent is not None)
        return self._result(reason, message, decision, sent, started_s)

    def move_to_start(
        self,
        start_pose: StartPose,
        offset_gripper_m: NDArray[np.float64],
        should_stop: ShouldStop | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> StepResult:
        """Open the gripper, retreat, and go to `start_pose` displaced by `offset_gripper_m`.

        The way is made of steps no longer than the step cap, each waited for. Ends the session.

        Args:
            start_pose: joint targets, and the base pose by odometry if it has one.
            offset_gripper_m: (3,) right, forward, up of the gripper at the start pose [m].
            should_stop: as in `execute`.
            on_progress: told what is being done, in words, at each step.

        Returns:
            A result whose translations are those of the whole way.
        """
        started_s = self._driver.now_s()
        self.end_session()
        self._memory = FilterMemory()
        travelled_m = np.zeros(3)
        sent: JointCommand | None = None
        reason, message = ReasonCode.NONE, ""
        try:
            self._refuse_latched()
            plan = plan_start(
                self._filter, start_pose, offset_gripper_m, self._read_state(), self._config
            )
            while True:
                state = self._read_state()
                decision = plan.next(state, self._memory)
                if decision is None:
                    break
                if self._driver.now_s() - started_s > self._config.start_timeout_s:
                    raise Halted(
                        ReasonCode.TIMEOUT,
                        f"start pose not reached in {self._config.start_timeout_s:g} s",
                    )
                if on_progress is not None:
                    on_progress(plan.phase(state))
                sent, monitor = self._send(decision, state, should_stop)
                travelled_m = travelled_m + decision.sent_base_delta_m
                self._wait(monitor, should_stop, None)
        except Halted as halt:
            reason, message = self._halt(halt, moving=sent is not None)
        return StepResult(
            reason=reason,
            message=message,
            requested_base_delta_m=travelled_m,
            sent_base_delta_m=travelled_m,
            sent=sent,
            gripper_closed=self._memory.gripper.closed,
            duration_s=self._driver.now_s() - started_s,
        )

    def _result(
        self,
        reason: ReasonCode,
        message: str,
        decision: Decision,
        sent: JointCommand | None,
        started_s: float,
    ) -> StepResult:
        """What became of one command, or of none; measured by the newest reading there is."""
        result = StepResult(
            reason=reason,
            message=message,
            requested_base_delta_m=decision.requested_base_delta_m,
            sent_base_delta_m=decision.sent_base_delta_m if sent else np.zeros(3),
            sent=sent,
            gripper_closed=self._memory.gripper.closed,
            duration_s=self._driver.now_s() - started_s,
        )
        before, after = self._before, self._newest
        if sent is None or before is None or after is None:
            return result
        return measured(result, decision, self._memory.gripper, before, after, self._filter.config)

    def _refuse_latched(self) -> None:
        if self._latched is not None:
            raise Halted(
                ReasonCode.LATCHED, f"halted by {self._latched.value}: an operator must clear it"
            )

    def _accept(self, request: StepRequest) -> None:
        """Latch, session and order; an accepted number is used up whatever follows."""
        self._refuse_latched()
        session, last = self._tally.session, self._tally.last_sequence
        if not session or request.session != session:
            raise Halted(
                ReasonCode.WRONG_SESSION,
                f"session: {request.session!r}; allowed: {session or 'none is active'!r}",
            )
        if request.sequence <= last:
            raise Halted(
                ReasonCode.OUT_OF_ORDER,
                f"sequence: {request.sequence}; allowed: above {last}",
            )
        self._tally = replace(self._tally, last_sequence=request.sequence)

    def _memory_at(self, state: RobotState) -> FilterMemory:
        """The memory, with the base's origin taken at the first step of a session."""
        if self._memory.base_origin_m is None:
            self._memory = replace(self._memory, base_origin_m=(state.base_x_m, state.base_y_m))
        return self._memory

    def _read_state(self) -> RobotState:
        """A fresh reading of a robot that may move, or the reason why it may not."""
        try:
            state = self._newest = self._driver.state()
        except RobotError as error:
            raise Halted(ReasonCode.STATE_STALE, str(error)) from error
        check_ready(state, self._driver.now_s() - state.steady_s, self._config)
        return state

    def _send(
        self, decision: Decision, state: RobotState, should_stop: ShouldStop | None
    ) -> tuple[JointCommand, ArrivalMonitor]:
        """Send a decision's command; returns what was sent and the watch over it."""
        if decision.command is None:
            # The robot is at rest between steps: sending nothing is the hold.
            raise Halted(decision.reason, decision.message)
        self._poll_stop(should_stop)
        before = held_targets(state, self._memory.held, self._filter.config.motion)
        sent_s = self._driver.now_s()
        try:
            sent = self._driver.send(decision.command)
        except RobotError as error:
            raise Halted(ReasonCode.ROBOT_ERROR, str(error)) from error
        self._memory = decision.memory
        self._before = state
        monitor = ArrivalMonitor(
            self._config,
            sent,
            state,
            sent_s,
            moving=frozenset(
                name
                for name in ARM_JOINTS
                if abs(getattr(sent, name) - getattr(before, name)) > 1e-6
            ),
            gripper_moves=decision.gripper_changes,
            loaded=decision.memory.gripper.closed,
        )
        return sent, monitor

    def _wait(
        self,
        monitor: ArrivalMonitor,
        should_stop: ShouldStop | None,
        on_progress: Callable[[float], None] | None,
    ) -> None:
        """Return when the motion has arrived; raise `Halted` when it must end."""
        while True:
            self._driver.wait(self._config.poll_s)
            self._poll_stop(should_stop)
            verdict = monitor.update(self._read_state(), self._driver.now_s())
            if on_progress is not None:
                on_progress(monitor.remaining)
            if verdict is ReasonCode.NONE:
                return
            if verdict is not None:
                raise Halted(verdict, f"still {monitor.remaining:.3f} (m or rad) from the target")

    def _note_motion(self, before: RobotState) -> None:
        """Tell the gripper's stall rule how far the hand really moved since `before`."""
        try:
            after = self._newest = self._driver.state()
        except RobotError:
            return
        moved_m = math.hypot(
            base_advance_m(before, after), after.arm_m - before.arm_m, after.lift_m - before.lift_m
        )
        gripper = note_motion(self._memory.gripper, moved_m, self._filter.config.gripper)
        self._memory = replace(self._memory, gripper=gripper)

    def _poll_stop(self, should_stop: ShouldStop | None) -> None:
        reason = should_stop() if should_stop is not None else None
        if reason is not None:
            raise Halted(reason, "stopped on request")

    def _halt(self, halt: Halted, moving: bool) -> tuple[ReasonCode, str]:
        """Hold if something was moving, latch if the fault asks for it."""
        message = halt.message
        if moving:
            try:
                self._driver.hold()
            except RobotError as error:
                message = f"{message}; hold failed: {error}"
                self._latched = ReasonCode.ROBOT_ERROR
            # The measured pose became the target.
            self._memory = replace(self._memory, held=None)
        if halt.reason in self._config.latch_on:
            self._latched = halt.reason
        return halt.reason, message
