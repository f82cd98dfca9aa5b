"""The node an operator talks to: reset, start, stop, label; one rollout at a time, all recorded."""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.client import Client
from std_srvs.srv import Trigger
from vinn.robot.config import load_robot_config
from vinn.robot.types import REGULAR_ENDS, ReasonCode
from vinn.rollout.config import RolloutConfig, load_rollout_config
from vinn.rollout.label import RolloutLabel
from vinn.rollout.loop import RolloutOutcome, StepRecord
from vinn.rollout.start_poses import StartPoses
from vinn.rollout.states import RolloutEvent, RolloutMachine, RolloutState

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.msg import Prediction as PredictionMsg
from vinn_msgs.srv import Jog, LabelRollout, MoveToStart, ResetScene, StartRollout
from vinn_ros.conversions import cdr_stamp_ns
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import ERROR, OK, WARN, Diagnosis, VinnNode
from vinn_ros.node.main import run_node
from vinn_ros.node.node_executor import QuickGroup
from vinn_ros.node.sole_publishers import COMMANDERS, SEERS, SolePublishers
from vinn_ros.paths import config_file
from vinn_ros.step_mode import StepMode
from vinn_ros.supervisor.drive_requests import DriveRequests
from vinn_ros.supervisor.driving import Driving
from vinn_ros.supervisor.parameter_snapshot import ParameterSnapshot
from vinn_ros.supervisor.parameters import (
    PARAMETERS,
    partner_limits,
    policy_limits,
    reset_settings,
)
from vinn_ros.supervisor.partners import RolloutLinks
from vinn_ros.supervisor.policy_link import PolicyLink
from vinn_ros.supervisor.preflight_probe import PreflightProbe
from vinn_ros.supervisor.recorded_rollout import RecordedRollout, RolloutListener, RolloutPlan
from vinn_ros.supervisor.recording import DRIVEN_TOPIC, JOINTS_TOPIC, WRIST_TOPIC, RolloutRecording
from vinn_ros.supervisor.reset import ResetClients, RolloutReset
from vinn_ros.supervisor.rollout_action import RolloutAction
from vinn_ros.supervisor.triggers import trigger
from vinn_ros.supervisor.words import MAX_NAME, MAX_NOTE, keep_label, too_long

_SEEDS, _END_TIMEOUT_S = 2**32, 4.0
_WITH_PARAMETERS = ("vinn_policy", "stretch_executor", "wrist_camera", "stretch_sim")


class RolloutSupervisorNode(VinnNode):
    """States of `vinn.rollout.states`, and `run_rollout` in a thread of its own."""

    NAME = "rollout_supervisor"
    PARAMETERS = PARAMETERS

    def __init__(self, cli_args: list[str] | None = None) -> None:
        """See `VinnNode`."""
        super().__init__(cli_args)
        self._config = RolloutConfig()
        self._machine = RolloutMachine()
        self._trial = -1
        self._offset_m: NDArray[np.float64] = np.zeros(3)
        self._status = RolloutStatus(reason=ReasonCode.NONE.value)
        self._status_lock = threading.RLock()
        """State of the machine and status change together, so that nobody sees half of a change."""
        self._started_s = 0.0
        clients = QuickGroup()
        stop_motion: Client = self.create_client(Trigger, "executor/stop", callback_group=clients)
        step: ActionClient = ActionClient(
            self, ExecuteStep, "executor/step", callback_group=clients
        )
        self._sole = SolePublishers(self, {**COMMANDERS, **SEERS})
        self._policy = PolicyLink(policy_limits(self.value))
        self._driving = Driving()
        driven = self.create_lifecycle_publisher(PredictionMsg, DRIVEN_TOPIC, qos.STREAM)
        self._links = RolloutLinks(
            step,
            stop_motion,
            self._policy,
            self._sole,
            partner_limits(self.value),
            self._driving,
            driven.publish,
        )
        DriveRequests(
            self,
            self._driving,
            self._policy,
            lambda: self._status,
            lambda: self._set_status(driven=self._driving.engaged),
            self.value("step_timeout_s"),
        )
        self._probe = PreflightProbe(self, Path(self.value("recordings")))
        scene: Client = self.create_client(ResetScene, "scene/reset", callback_group=clients)
        self._reset = RolloutReset(
            ResetClients(
                home=self.create_client(MoveToStart, "executor/home", callback_group=clients),
                jog=self.create_client(Jog, "executor/jog", callback_group=clients),
                scene=scene if self.value("has_simulation") else None,
            ),
            self._links,
            self._sole,
            self._probe,
            reset_settings(self.value),
            self._tell,
        )
        self._step_mode = StepMode(self.value("step_mode"))
        recording = RolloutRecording(
            self,
            {
                "policy/prediction": self._take_prediction,
                "policy/status": self._policy.take_policy_status,
                "executor/status": self._take_executor,
                "scene/status": self._links.take_scene,
            },
            {WRIST_TOPIC: self._take_frame, JOINTS_TOPIC: self._probe.take_joints},
        )
        snapshot = ParameterSnapshot(self, (self.NAME, *_WITH_PARAMETERS))
        self._rollout = RecordedRollout(
            self, self._policy, self._links, self._step_mode, self._driving, recording, snapshot
        )
        self._publisher = self.create_lifecycle_publisher(
            RolloutStatus, "supervisor/status", qos.STREAM
        )
        requests = ReentrantCallbackGroup()
        ready = trigger(self._reset.confirm_environment, "ready", "no reset waits for that")
        step_by_step = trigger(self._step_mode.allow, "one step", "no step is waiting")
        for service_type, name, answer in (
            (Trigger, "supervisor/reset", self._on_reset),
            (Trigger, "supervisor/environment_ready", ready),
            (StartRollout, "supervisor/start_rollout", self._on_start),
            (Trigger, "supervisor/stop_rollout", self._on_stop),
            (Trigger, "supervisor/step", step_by_step),
            (LabelRollout, "supervisor/label_rollout", self._on_label),
        ):
            self.serve(service_type, name, answer, requests)
        self._action = RolloutAction(
            self, lambda asked: self._on_start(asked, StartRollout.Response()), self._stop_session
        )
        self.every(1.0 / self.value("status_rate_hz"), self._publish, QuickGroup())

    # Lifecycle

    def configure(self) -> None:
        """Read the settings of a rollout."""
        self._config = load_rollout_config(
            config_file(self.value("rollout_config"), "rollout_config")
        )
        robot = self.value("robot_config")
        # What ends a rollout or its recording also keeps it from starting.
        own = {
            "min_free_mib": float(self.value("min_free_mib")),
            "max_camera_age_s": self.value("camera_timeout_s"),
        }
        self._reset.configure(
            self._config.preflight.model_copy(update=own),
            load_robot_config(config_file(robot, "robot_config")) if robot else None,
        )

    def deactivate(self) -> None:
        """End a rollout; its recording is finished."""
        self._links.stop()
        self._rollout.join(_END_TIMEOUT_S)

    def parameters_changed(self, values: dict[str, Any]) -> None:
        """Another seed begins again with trial 0; step mode counts from the next step on."""
        if "seed" in values:
            self._trial = -1
        if "step_mode" in values:
            self._step_mode.enable(values["step_mode"])

    def diagnose(self) -> Diagnosis:
        """The reason of the last end, if it was trouble."""
        status = self._status
        values = {
            "state": self._machine.state.name,
            "session": status.session,
            "step": status.step,
            "waiting_for_step": self._step_mode.waiting,
            "waiting_for_environment": self._reset.waiting,
        }
        problem = self._sole.problem()
        if problem:
            return ERROR, f"{ReasonCode.DUPLICATE_NODE.value}: {problem}", values
        if ReasonCode.of(status.reason) not in (ReasonCode.NONE, *REGULAR_ENDS):
            return WARN, f"{status.reason}: {status.message}", values
        return OK, self._machine.state.name if self.active else "not active", values

    # What an operator asks for

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Scene, then robot; answers when both are done."""
        refusal = self._ask(RolloutEvent.RESET)
        if refusal is not None:
            response.message = f"{refusal[0].value}: {refusal[1]}"
            return response
        self._links.begin("")
        self._set_status(reason=ReasonCode.NONE, message="", step=0, outcome=RolloutStatus.UNKNOWN)
        try:
            reason, message = self._reset_trial()
        except Exception as error:
            self.get_logger().error(f"reset: failed\n{traceback.format_exc()}")
            reason, message = ReasonCode.INTERNAL_ERROR, repr(error)
        done = reason is ReasonCode.NONE
        self._set_status(
            RolloutEvent.RESET_DONE if done else RolloutEvent.RESET_FAILED,
            reason=reason,
            message=message,
        )
        response.success = done
        response.message = message if done else f"{reason.value}: {message}"
        return response

    def _reset_trial(self) -> tuple[ReasonCode, str]:
        """A reset for the next trial, which it becomes if all goes well: no start pose is lost."""
        trial, seed = self._trial + 1, self.value("seed")
        offset_m = StartPoses(self._config.start_poses, seed).offset(trial)
        reason, message = self._reset.run((seed + trial) % _SEEDS, offset_m)
        if reason is not ReasonCode.NONE:
            return reason, message
        self._trial, self._offset_m = trial, offset_m
        offset = ", ".join(f"{value:+.3f}" for value in offset_m)
        return reason, f"trial {trial}, offset ({offset}) m right, forward, up"

    def _on_start(
        self, request: StartRollout.Request, response: StartRollout.Response
    ) -> StartRollout.Response:
        """Start a rollout; of many simultaneous requests one is accepted."""
        with self._status_lock:
            refusal = too_long("name", request.name, MAX_NAME)
            if refusal is None and self._machine.state is RolloutState.READY:
                unseeing = None if request.driven else self._policy.not_seeing()
                refusal = self._links.fault() or unseeing
                refusal = refusal or self._reset.refusal(by_policy=not request.driven)
            refusal = refusal or self._ask(RolloutEvent.START)
            response.accepted = refusal is None
            if refusal is not None:
                response.reason, response.message = refusal[0].value, refusal[1]
                return response
            max_steps = request.max_steps or self._config.max_steps
            session = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
            self._links.begin(session)
            self._driving.engage(request.driven)
            self._started_s = time.monotonic()
            self._set_status(
                session=session,
                step=0,
                max_steps=max_steps,
                attempts=request.attempts,
                driven=request.driven,
                recording="",
            )
        self._rollout.start(
            RolloutPlan(
                session=session,
                name=request.name,
                config=self._config.for_rollout(max_steps, request.driven),
                recordings=Path(self.value("recordings")),
                min_free_bytes=self.value("min_free_mib") * 2**20,
                seed=self.value("seed"),
                trial=self._trial,
                offset_gripper_m=self._offset_m,
            ),
            RolloutListener(
                recording=lambda path: self._set_status(recording=str(path or "")),
                step=self._on_step,
                end=self._on_end,
            ),
        )
        response.session, response.reason = session, ReasonCode.NONE.value
        return response

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Stop what is under way; the robot is told to stop in any case."""
        refusal = self._ask(RolloutEvent.STOP)
        self._links.stop()
        response.success = True
        response.message = "stopping" if refusal is None else "nothing was under way"
        return response

    def _on_label(
        self, request: LabelRollout.Request, response: LabelRollout.Response
    ) -> LabelRollout.Response:
        """Keep the operator's verdict beside the recording."""
        status = self._status
        refusal = too_long("note", request.note, MAX_NOTE) or self._ask(RolloutEvent.LABEL)
        if refusal is not None:
            response.message = f"{refusal[0].value}: {refusal[1]}"
        elif request.session not in ("", status.session):
            response.message = f"session: {request.session!r}; allowed: {status.session!r}"
        else:
            self._set_status(
                outcome=RolloutStatus.SUCCESS if request.success else RolloutStatus.FAILURE
            )
            response.success, response.message = keep_label(
                Path(self.value("recordings")),
                RolloutLabel(self._status.session, bool(request.success), request.note),
            )
        return response

    # What the rollout tells

    def _stop_session(self, session: str, why: str) -> None:
        """Stop a rollout, if it is the one that runs."""
        with self._status_lock:
            if self._machine.state is RolloutState.RUNNING and self._status.session == session:
                self._links.stop(why)

    def _on_step(self, record: StepRecord) -> None:
        self._set_status(step=self._status.step + 1)
        self._action.tell_step(self._status, record)

    def _on_end(self, outcome: RolloutOutcome, path: Path | None) -> None:
        verdict = RolloutStatus.UNKNOWN
        if self.value("success") != "operator":
            verdict = RolloutStatus.SUCCESS if outcome.success else RolloutStatus.FAILURE
        self._set_status(
            RolloutEvent.END,
            reason=outcome.reason,
            message=outcome.message,
            outcome=verdict,
            recording=str(path or ""),
            elapsed_s=float(outcome.duration_s),
            driven=False,
        )
        self.publish_diagnostics()
        self._action.tell_end(self._status, outcome.attempts)

    # Inside

    def _ask(self, event: RolloutEvent) -> tuple[ReasonCode, str] | None:
        if not self.active:
            return ReasonCode.NOT_READY, "the supervisor is not active"
        refusal = self._machine.handle(event)
        return None if refusal is None else (refusal.reason, refusal.message)

    def _take_prediction(self, prediction: PredictionMsg) -> None:
        self._policy.take_prediction(prediction)
        self._probe.take_policy(prediction)

    def _take_frame(self, cdr: bytes) -> None:
        self._policy.take_frame(cdr_stamp_ns(cdr))
        self._probe.take_frame(cdr)

    def _take_executor(self, status: ExecutorStatus) -> None:
        self._links.take_executor(status)
        state = self._machine.state
        if state is RolloutState.RESETTING and status.state == ExecutorStatus.HOMING:
            self._tell(status.message)
        # After a fault or a changed setting what was prepared is void.
        void = status.state == ExecutorStatus.LATCHED or status.reason == ReasonCode.NOT_READY.value
        if void and state is RolloutState.READY:
            self._set_status(
                RolloutEvent.FAULT, reason=ReasonCode.of(status.reason), message=status.message
            )

    def _tell(self, doing: str) -> None:
        """Progress of a reset."""
        if doing and doing != self._status.message:
            self._set_status(message=doing)

    def _set_status(self, event: RolloutEvent | None = None, **fields: Any) -> None:
        """Change status and state together, and publish at once."""
        with self._status_lock:
            for name, value in fields.items():
                setattr(self._status, name, value.value if isinstance(value, ReasonCode) else value)
            if event is not None:
                self._machine.handle(event)
            self._publish()

    def _publish(self) -> None:
        """Publish the status; while a rollout runs this renews the executor's lease."""
        with self._status_lock:
            status = self._status
            status.state = int(self._machine.state)
            if self._machine.state is RolloutState.RUNNING:
                status.elapsed_s = time.monotonic() - self._started_s
            status.header.stamp = self.get_clock().now().to_msg()
            self._publisher.publish(status)


NODE = RolloutSupervisorNode


def main() -> None:
    """Run the node."""
    run_node(NODE)
