"""One rollout: recorded, run and finished, in a thread of its own. Whatever happens, it ends."""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vinn.policies.types import Prediction
from vinn.robot.types import ReasonCode, StepResult
from vinn.rollout.config import RolloutConfig
from vinn.rollout.loop import RolloutInterrupted, RolloutOutcome, StepRecord, run_rollout

from vinn_msgs.msg import SceneStatus
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.step_mode import StepMode
from vinn_ros.supervisor.driving import Driving, Told
from vinn_ros.supervisor.parameter_snapshot import ParameterSnapshot
from vinn_ros.supervisor.partners import RolloutLinks
from vinn_ros.supervisor.policy_link import PolicyLink
from vinn_ros.supervisor.recording import RolloutRecording

_PARAMETER_TIMEOUT_S = 2.0
_BORNE_BY_HAND = (ReasonCode.UNREACHABLE, ReasonCode.SELF_COLLISION)
"""Who drives sees that the arm goes no further there, and tries another way."""


@dataclass(frozen=True)
class RolloutPlan:
    """What is to be done, and what the recording says of it."""

    session: str
    name: str
    config: RolloutConfig
    recordings: Path
    """Where its recording goes."""
    min_free_bytes: int
    """The recording ends before the disk has less room."""
    seed: int
    trial: int
    offset_gripper_m: NDArray[np.float64]
    """(3,) right, forward, up of the start pose [m]."""


@dataclass(frozen=True)
class RolloutListener:
    """Who is told, in the rollout's thread."""

    recording: Callable[[Path | None], None]
    """Where the recording goes; None: nowhere."""
    step: Callable[[StepRecord], None]
    """The robot was sent a step."""
    end: Callable[[RolloutOutcome, Path | None], None]
    """How it ended, and where its recording is."""


class RecordedRollout:
    """Runs one rollout at a time."""

    def __init__(
        self,
        node: VinnNode,
        policy: PolicyLink,
        links: RolloutLinks,
        step_mode: StepMode,
        driving: Driving,
        recording: RolloutRecording,
        snapshot: ParameterSnapshot,
    ) -> None:
        """Args: whose log, who decides, who moves, who confirms, who may take over, what is kept,
        whose settings.
        """
        self._node = node
        self._policy = policy
        self._links = links
        self._step_mode = step_mode
        self._driving = driving
        self._recording = recording
        self._snapshot = snapshot
        self._thread: threading.Thread | None = None
        self._steps = self._driven_steps = 0
        self._by_hand = False
        """Whether the step under way is the operator's."""
        self._told: Told | None = None
        """How it ended for the operator, where that is not how it ended for the rollout."""

    def start(self, plan: RolloutPlan, listener: RolloutListener) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(
            target=self._run, args=(plan, listener), name="rollout", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:  # the process may have no more threads
            listener.end(RolloutOutcome(ReasonCode.INTERNAL_ERROR, repr(error), (), 0.0), None)

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the rollout that runs, if one does."""
        if self._thread is not None:
            self._thread.join(timeout=timeout_s)

    def _run(self, plan: RolloutPlan, listener: RolloutListener) -> None:
        self._steps = self._driven_steps = 0
        began_s = time.monotonic()
        try:
            outcome = self._roll_out(plan, listener)
        except Exception as error:
            self._log(f"rollout {plan.session}: failed")
            # What moves must not go on without the loop that watches it.
            self._links.stop()
            duration_s = time.monotonic() - began_s
            outcome = RolloutOutcome(ReasonCode.INTERNAL_ERROR, repr(error), (), duration_s)
        path = None
        self._policy.end()
        self._driving.end((outcome.reason, f"the rollout has ended: {outcome.message}"))
        try:
            path = self._recording.close(
                _facts(outcome, self._steps, self._driven_steps, self._links.scene)
            )
        except Exception:
            self._log(f"recording {plan.session}: failed")
        listener.end(outcome, path)
        self._node.get_logger().info(
            f"rollout {plan.session} {plan.name!r}: {outcome.reason.value} after {self._steps} "
            f"steps, {outcome.duration_s:.1f} s; {outcome.message or 'no trouble'}; "
            f"{path or 'no recording'}"
        )

    def _roll_out(self, plan: RolloutPlan, listener: RolloutListener) -> RolloutOutcome:
        path = plan.recordings.absolute() / f"{plan.session}.mcap"
        offset = [round(float(v), 6) for v in plan.offset_gripper_m]
        info = {
            "session": plan.session,
            "name": plan.name,
            "policy": self._policy.label,
            "seed": str(plan.seed),
            "trial": str(plan.trial),
            "offset_gripper_m": json.dumps(offset),
        }
        listener.recording(self._recording.open(path, info, plan.min_free_bytes))
        threading.Thread(target=self._record_parameters, name="parameters", daemon=True).start()

        def on_step(record: StepRecord) -> None:
            if record.result is not None and record.result.sent is not None:
                self._steps += 1
                self._driven_steps += self._by_hand
                listener.step(record)
            if self._by_hand:
                self._driving.tell(self._told or (record.reason, record.message))

        return run_rollout(self._predict, self._execute, self._links.check, plan.config, on_step)

    def _predict(self, settled_s: float) -> Prediction:
        """The policy's, or the operator's who has control; that may change while it is waited for.

        In step mode, of an image captured after the operator's press.
        """
        self._by_hand, self._told = False, None
        while True:
            if self._driving.engaged:
                step = self._driving.wait(self._ended)
                if step is not None:
                    self._by_hand = True
                    return self._links.drive(step, settled_s)
                if self._ended():
                    raise RolloutInterrupted(ReasonCode.SUCCESS, "")
                settled_s = time.monotonic()
                continue
            waited = self._step_mode.wait(lambda: self._ended() or self._driving.engaged)
            try:
                prediction = self._links.predict(time.monotonic() if waited else settled_s)
            except RolloutInterrupted:
                if self._links.stopping or not self._driving.engaged:
                    raise
                continue
            if not self._driving.engaged:
                return prediction

    def _ended(self) -> bool:
        """Whether it has succeeded; what else ends it is raised."""
        return self._links.check() is not None

    def _execute(self, prediction: Prediction, sequence: int) -> StepResult:
        """A step that the operator cut short by taking over, or that did not work out by hand, is
        no trouble of the rollout.
        """
        result = self._links.execute(prediction, sequence)
        if self._by_hand and result.reason in _BORNE_BY_HAND:
            self._told = (result.reason, result.message)
            return replace(result, reason=ReasonCode.NONE)
        taken_over = self._driving.engaged and not self._by_hand and not self._links.stopping
        if taken_over and result.reason is ReasonCode.OPERATOR_STOP:
            return replace(result, reason=ReasonCode.NONE, message="the operator took over")
        return result

    def _record_parameters(self) -> None:
        """In a thread of its own: nothing waits for nodes that do not answer."""
        self._recording.write_parameters(self._snapshot.take(_PARAMETER_TIMEOUT_S))

    def _log(self, what: str) -> None:
        self._node.get_logger().error(f"{what}\n{traceback.format_exc()}")


def _facts(
    outcome: RolloutOutcome, steps: int, driven_steps: int, scene: SceneStatus | None
) -> dict[str, str]:
    """What the recording says of the end."""
    facts = {
        "reason": outcome.reason.value,
        "message": outcome.message,
        "steps": str(steps),
        "driven_steps": str(driven_steps),
        "attempts": str(outcome.attempts),
        "duration_s": f"{outcome.duration_s:.3f}",
    }
    if scene is not None:
        facts |= {
            "door_angle_rad": f"{scene.door_angle_rad:.4f}",
            "grasped": str(scene.grasped).lower(),
            "opened": str(scene.opened).lower(),
            "fully_opened": str(scene.fully_opened).lower(),
        }
    return facts
