"""A policy in a rollout that is heard of from elsewhere: it advances by the steps that were taken.

Frames come in one stream and what the robot did in another, each with its own delays. The policy
is told of a step once, whatever is repeated or lost on the way, and every prediction says which
step it already knows of, so that nobody acts on one that was made too early.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.policies.types import Policy, Prediction, TakenStep

REMEMBERED_PREDICTIONS = 1000
"""A quarter of a minute at 60 frames a second: twice as long as a step may take (6 s)."""


@dataclass(frozen=True)
class StepReport:
    """What an executor says of the last step it has taken in a session.

    Attributes:
        session: id of the rollout.
        step: the step's sequence number in it, 1 or more.
        steps_taken: how many steps were taken so far, this one included.
        prediction_sequence: number of the prediction that was executed.
        travelled_camera_m: (3,) sum of the measured translations of the session's steps [m].
        taken: the step itself.
    """

    session: str
    step: int
    steps_taken: int
    prediction_sequence: int
    travelled_camera_m: NDArray[np.float64]
    taken: TakenStep


@dataclass(frozen=True)
class Position:
    """Where in a rollout the policy is.

    Attributes:
        session: of the rollout; empty: none.
        step: the last step it has advanced by, or had taken place when it began anew; 0: none.
    """

    session: str = ""
    step: int = 0


class Episode:
    """Follows sessions and steps for one policy.

    `tell_session` and `tell_step` may be called from other threads than the one that predicts; they
    only leave a note.
    """

    def __init__(self, policy: Policy) -> None:
        """Args: the policy, which is reset."""
        self.policy = policy
        self.position = Position()
        self.lost_track = ""
        """Why the policy began anew in the middle of this rollout; empty: it did not."""
        self._telling = threading.Lock()
        self._notes: deque[str | StepReport] = deque()
        self._said_session = ""
        self._said_step = 0
        self._predictions: OrderedDict[int, Prediction] = OrderedDict()
        self._steps_taken = 0
        self._travelled_camera_m = np.zeros(3)
        policy.reset()

    @property
    def running(self) -> bool:
        """Whether a rollout is running, as far as was told."""
        return bool(self._said_session)

    def tell_session(self, session: str) -> None:
        """This rollout is running; empty: none is."""
        with self._telling:
            if session != self._said_session:
                self._said_session, self._said_step = session, 0
                self._notes.append(session)

    def tell_step(self, report: StepReport) -> None:
        """A step was taken. What is said again, and of other rollouts, is passed over."""
        with self._telling:
            if report.session == self._said_session and report.step > self._said_step:
                self._said_step = report.step
                self._notes.append(report)

    def predict(self, image_rgb: NDArray[np.uint8], sequence: int) -> Prediction:
        """Predict from one frame, (H, W, 3) uint8 RGB, knowing of every step told so far.

        Args:
            image_rgb: the frame.
            sequence: number under which the prediction is published; it increases.

        Raises:
            vinn.errors.ImageError: wrong shape or type.
        """
        self.catch_up()
        prediction = self.policy.predict(image_rgb)
        self.remember(sequence, prediction)
        return prediction

    def catch_up(self) -> None:
        """Take over what was told."""
        while self._notes:
            note = self._notes.popleft()
            if isinstance(note, str):
                self._begin(note)
            else:
                self._advance(note)

    def remember(self, sequence: int, prediction: Prediction) -> None:
        """Keep a prediction until it is too old to be executed."""
        self._predictions[sequence] = prediction
        if len(self._predictions) > REMEMBERED_PREDICTIONS:
            self._predictions.popitem(last=False)

    def _begin(self, session: str) -> None:
        self.policy.reset()
        self.position = Position(session)
        self.lost_track = ""
        self._predictions.clear()
        self._steps_taken, self._travelled_camera_m = 0, np.zeros(3)

    def _advance(self, report: StepReport) -> None:
        number = report.prediction_sequence
        prediction = self._predictions.get(number)
        if prediction is None:
            # It was loaded or started after that prediction, or the operator has moved the robot:
            # what came before is not known to it.
            self.policy.reset()
            by_policy = f"taken on prediction {report.prediction_sequence}, which this policy did"
            self.lost_track = (
                f"step {report.step} was {f'{by_policy} not make' if number else 'driven by hand'}"
                ": it begins anew"
            )
        else:
            count = max(report.steps_taken - self._steps_taken, 1)
            for step in _shared(report, self._travelled_camera_m, count):
                self.policy.advance(prediction, step)
        self.position = Position(report.session, report.step)
        self._steps_taken = report.steps_taken
        self._travelled_camera_m = report.travelled_camera_m


def _shared(
    report: StepReport, travelled_before_m: NDArray[np.float64], count: int
) -> tuple[TakenStep, ...]:
    """The last step, and those before it that were not heard of: together they went as far as the
    hand has travelled since.
    """
    taken = report.taken
    lost_m = report.travelled_camera_m - travelled_before_m - taken.camera_delta_m
    lost = TakenStep(
        camera_delta_m=lost_m / max(count - 1, 1),
        sent_camera_delta_m=lost_m / max(count - 1, 1),
        gripper_closed=taken.gripper_closed,
        gripper_aperture_m=taken.gripper_aperture_m,
    )
    return (*[lost] * (count - 1), taken)
