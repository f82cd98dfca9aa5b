"""What camera and policy said last, as the supervisor heard it: what a step may be decided by.

All deadlines are on the steady clock. What is on a topic is data: a prediction that cannot be of
this policy and this camera is refused, and what it shows of a second policy node ends a rollout.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from vinn.robot.types import ReasonCode
from vinn.rollout.loop import RolloutInterrupted

from vinn_msgs.msg import PolicyStatus
from vinn_msgs.msg import Prediction as PredictionMsg
from vinn_ros.conversions import explained, to_nanoseconds

Trouble = tuple[ReasonCode, str]
_POLL_S = 0.05
_FRAME_POLL_S = 0.01
_REMEMBERED_FRAMES = 256
_CONFLICT_S = 2.0
"""So long after two policies contradicted each other nothing is started."""
_CLOCK_SET_NS = 10 * 10**9
"""No image may be so old (`vinn_policy.max_image_age_s`)."""


@dataclass(frozen=True)
class PolicyLimits:
    """How long camera and policy may be silent."""

    prediction_timeout_s: float
    """From the moment a prediction is wanted."""
    policy_timeout_s: float
    """Without a prediction, whether one is wanted or not."""
    camera_timeout_s: float


@dataclass(frozen=True)
class Known:
    """What the policy must have heard of when it predicted."""

    session: str
    last_step: int
    """Of the session, of which something was sent; 0: none."""
    settled_ns: int = 0
    """When that step had ended, by the robot's clock, which stamps its images too; 0: none."""

    def unaware(self, prediction: PredictionMsg) -> str:
        """What the policy had not heard of, or its image cannot show yet; empty: nothing."""
        if prediction.session != self.session:
            known = f"session {prediction.session!r}" if prediction.session else "no session"
            return f"session {self.session!r} (the policy knows of {known})"
        if prediction.after_step != self.last_step:
            return f"step {self.last_step} (the policy knows of step {prediction.after_step})"
        if self.precedes_settling(to_nanoseconds(prediction.header.stamp)):
            return f"the end of step {self.last_step} (an image of before)"
        return ""

    def precedes_settling(self, stamp_ns: int) -> bool:
        """Whether an image was captured before the last step had ended.

        However late it came: on a link that loses packets an image may arrive long after the word
        that the step has ended. By how much no image can be late, a clock must have been set.
        """
        return 0 <= self.settled_ns - stamp_ns < _CLOCK_SET_NS


@dataclass(frozen=True)
class Chosen:
    """The prediction that a step is decided by."""

    message: PredictionMsg
    captured_s: float
    """When its image was captured, at the latest (steady)."""


class PolicyLink:
    """Camera and policy. Thread-safe."""

    def __init__(self, limits: PolicyLimits) -> None:
        """Args: how long they may be silent."""
        self._limits = limits
        self._news = threading.Condition()
        self._newest: Chosen | None = None
        self._predicted_s = -math.inf
        self._camera_s = -math.inf
        self._frames: OrderedDict[int, float] = OrderedDict()
        """When frames came in here, by their stamp; the newest."""
        self._early: tuple[PredictionMsg, float] | None = None
        """Of an image that has not come here, and when it came; nothing is decided by it until the
        image has."""
        self._refusal: Trouble | None = None
        """Why the newest frame leads to no prediction; None: it does, or none came yet."""
        self._refused_s = self._heeded_refusal_s = -math.inf
        self._conflict: Trouble | None = None
        """What only a second policy node can have said."""
        self._conflict_s = -math.inf
        self._label: str | None = None
        """The policy of the running rollout; None: none runs; empty: it has not predicted yet."""

    # What arrives

    def take_frame(self, stamp_ns: int) -> None:
        """A camera frame was published."""
        with self._news:
            self._camera_s = time.monotonic()
            self._frames[stamp_ns] = self._camera_s
            if len(self._frames) > _REMEMBERED_FRAMES:
                self._frames.popitem(last=False)
            early = self._early
            if early is not None and to_nanoseconds(early[0].header.stamp) == stamp_ns:
                self._early = None
                self._accept(*early, frame_s=self._camera_s)

    def take_prediction(self, prediction: PredictionMsg) -> None:
        """The policy published. One that was overtaken by a newer one, or came twice, is dropped;
        a policy that was silent for long may have begun to count anew. One of an image that has not
        come here waits for it.
        """
        with self._news:
            age_s = float(prediction.image_age_s)
            if not math.isfinite(age_s):
                # Checked before the clamp below, which would make NaN a fresh image.
                self._refuse(
                    ReasonCode.INVALID_INPUT,
                    f"policy/prediction: image_age_s: {age_s}; allowed: a finite number",
                )
                return
            received_s = time.monotonic()
            frame_s = self._frames.get(to_nanoseconds(prediction.header.stamp))
            if frame_s is None:
                self._early = prediction, received_s
            else:
                self._accept(prediction, received_s, frame_s)

    def _accept(self, prediction: PredictionMsg, received_s: float, frame_s: float) -> None:
        """Args: the prediction, when it came, when its image did (here, steady)."""
        newest = self._newest.message if self._newest is not None else None
        restarted = received_s - self._predicted_s > self._limits.policy_timeout_s
        overtaken = (
            newest is not None and 0 < prediction.sequence <= newest.sequence and not restarted
        )
        conflict = self._second_policy(prediction, newest if overtaken else None)
        if conflict:
            self._conflict, self._conflict_s = (ReasonCode.DUPLICATE_NODE, conflict), received_s
            self._news.notify_all()
            return
        if overtaken:
            return
        self._predicted_s = received_s
        # The policy knows how old the image was when it published; how long the prediction was
        # under way is seen here, since the frame came here as well.
        captured_s = received_s - max(0.0, float(prediction.image_age_s))
        self._newest = Chosen(prediction, min(captured_s, frame_s))
        self._refusal = None
        self._news.notify_all()

    def _second_policy(self, prediction: PredictionMsg, ahead: PredictionMsg | None) -> str:
        """What shows that another node than the policy's said this; empty: nothing does.

        Args:
            prediction: what came.
            ahead: what came before with the same sequence or a later one, if anything did.
        """
        stamp_ns = to_nanoseconds(prediction.header.stamp)
        if ahead is not None and stamp_ns > to_nanoseconds(ahead.header.stamp):
            return (
                f"policy/prediction: sequence {prediction.sequence} after {ahead.sequence}, but of "
                "a newer image: two nodes publish it, or the policy node was started anew"
            )
        if self._label and prediction.policy != self._label:
            return (
                f"policy/prediction: of policy {prediction.policy!r}; allowed in this rollout: "
                f"{self._label!r}"
            )
        return ""

    def take_policy_status(self, status: PolicyStatus) -> None:
        """The policy says that it cannot use a frame, or that it can again."""
        reason = ReasonCode.of(status.reason)
        with self._news:
            if reason is ReasonCode.NONE:
                self._refusal = None
                self._news.notify_all()
            else:
                self._refuse(reason, explained(reason, status.reason, status.message))

    def _refuse(self, reason: ReasonCode, message: str) -> None:
        self._refusal = (reason, message)
        self._refused_s = time.monotonic()
        self._news.notify_all()

    # What is known

    @property
    def label(self) -> str:
        """Name and hash of the artefact that predicted last; empty: nothing was predicted."""
        return "" if self._newest is None else str(self._newest.message.policy)

    def conflict(self) -> Trouble | None:
        """What two policies said against each other, in this rollout or just now; or None."""
        recent = time.monotonic() - self._conflict_s <= _CONFLICT_S
        return self._conflict if self._label is not None or recent else None

    def blindness(self) -> Trouble | None:
        """Why nobody sees what the camera sees, or None."""
        silent_s = time.monotonic() - self._camera_s
        return self._camera_lost() if silent_s > self._limits.camera_timeout_s else None

    def silence(self) -> Trouble | None:
        """What has been missing for too long in a running rollout, or None: frames, or
        predictions (because the policy refuses what it sees, or is gone).
        """
        now_s = time.monotonic()
        limits = self._limits
        if now_s - self._camera_s > limits.camera_timeout_s:
            return self._camera_lost()
        if now_s - self._predicted_s > limits.policy_timeout_s:
            if self._refusal is not None and now_s - self._refused_s <= limits.policy_timeout_s:
                return self._refusal
            return self._policy_lost(limits.policy_timeout_s)
        return None

    def not_seeing(self) -> Trouble | None:
        """Why no step could be predicted now, or None."""
        now_s = time.monotonic()
        if self._refusal is not None:
            return self._refusal
        if now_s - self._predicted_s <= self._limits.prediction_timeout_s:
            return None
        if now_s - self._camera_s > self._limits.camera_timeout_s:
            return self._camera_lost()
        return self._policy_lost(self._limits.prediction_timeout_s)

    def _camera_lost(self) -> Trouble:
        timeout_s = self._limits.camera_timeout_s
        return ReasonCode.CAMERA_STALE, f"wrist_camera: silent for {timeout_s:g} s"

    def _policy_lost(self, timeout_s: float) -> Trouble:
        early = self._early
        about = ""
        if early is not None:
            stamp_ns = to_nanoseconds(early[0].header.stamp)
            about = f" about images that came here (refused: of an image stamped {stamp_ns} ns)"
        return ReasonCode.POLICY_LOST, f"policy/prediction: silent for {timeout_s:g} s{about}"

    def newest_frame(
        self, settled_s: float, known: Known, stopping: Callable[[], str]
    ) -> tuple[int, float]:
        """Wait for a frame captured after `settled_s` (steady): stamp [ns], and when it came.

        The second one that comes after it: the first may have been under way before. What is
        `known` of the end of the last step goes for both.

        Raises:
            vinn.rollout.loop.RolloutInterrupted: none came, or why it is stopped.
        """
        deadline_s = time.monotonic() + self._limits.camera_timeout_s
        while True:
            with self._news:
                newest = list(self._frames.items())[-2:]
            if (
                len(newest) == 2
                and newest[0][1] > settled_s
                and not any(known.precedes_settling(stamp_ns) for stamp_ns, _ in newest)
            ):
                return newest[1]
            why, trouble = stopping(), self.blindness()
            if why:
                raise RolloutInterrupted(ReasonCode.OPERATOR_STOP, why)
            if trouble is not None or time.monotonic() > deadline_s:
                raise RolloutInterrupted(*(trouble or self._camera_lost()))
            time.sleep(_FRAME_POLL_S)

    # A rollout

    def begin(self) -> None:
        """A rollout begins: from now on one policy speaks, the one that predicted last."""
        with self._news:
            self._conflict = self._early = None
            self._label = self.label

    def end(self) -> None:
        """The rollout is over: another policy may be loaded."""
        with self._news:
            self._label = None

    def wake(self) -> None:
        """Have `choose` look at its `stopping` at once."""
        with self._news:
            self._news.notify_all()

    def choose(self, settled_s: float, known: Known, stopping: Callable[[], str]) -> Chosen:
        """Wait for the prediction of an image captured after `settled_s` (steady), made when the
        policy had heard of what is `known`.

        Raises:
            vinn.rollout.loop.RolloutInterrupted: none came, and why; or why it is stopped,
                as `stopping` says.
        """
        deadline_s = time.monotonic() + self._limits.prediction_timeout_s
        with self._news:
            while (
                self._newest is None
                or self._newest.captured_s <= settled_s
                or known.unaware(self._newest.message)
            ):
                why = stopping()
                if why:
                    raise RolloutInterrupted(ReasonCode.OPERATOR_STOP, why)
                if self._refusal is not None and self._refused_s > max(
                    settled_s, self._heeded_refusal_s
                ):
                    # Each refused frame is a troubled step of its own: a few in a row are borne.
                    self._heeded_refusal_s = self._refused_s
                    raise RolloutInterrupted(*self._refusal)
                trouble = self.conflict() or self.silence()
                if trouble is not None:
                    raise RolloutInterrupted(*trouble)
                left_s = deadline_s - time.monotonic()
                if left_s <= 0.0:
                    raise RolloutInterrupted(*self._why_none(settled_s, known))
                self._news.wait(min(left_s, _POLL_S))
            self._label = self._label or str(self._newest.message.policy)
            return self._newest

    def _why_none(self, settled_s: float, known: Known) -> Trouble:
        trouble = self.not_seeing()
        if trouble is not None:
            return trouble
        timeout_s, newest = self._limits.prediction_timeout_s, self._newest
        if newest is not None and newest.captured_s > settled_s:
            return (
                ReasonCode.POLICY_LOST,
                f"policy/prediction: for {timeout_s:g} s none that knows of "
                f"{known.unaware(newest.message)}",
            )
        return (
            ReasonCode.STALE_INPUT,
            f"policy/prediction: no new image within {timeout_s:g} s",
        )
