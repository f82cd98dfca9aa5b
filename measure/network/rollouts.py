"""Rollouts in a network as it is: begun again and again until one starts, and what came of it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vinn.errors import DatasetError, RobotError
from vinn.evaluation.provenance import running_commit
from vinn.robot.types import ReasonCode
from vinn_ros.demo.system import DemoSystem, NotEndedError

from measure.network.bad_link import BadLink, Settings
from measure.network.trials import Seen, Trial, read_steps
from vinn_msgs.msg import RolloutStatus

ROLLOUT_S = 240.0
START_S = 30.0
"""How long a start is tried: the policy has not predicted yet, the camera is not fresh yet."""
NO_ANSWER = "NO_ANSWER"
_PAUSE_S = 1.0
_CUT_AFTER_STEPS = 3
_CUT_S = 6.0
_WORD = re.compile(r"\b[A-Z][A-Z_]+\b")


@dataclass(frozen=True)
class Start:
    """How a rollout came to start, or not."""

    status: RolloutStatus | None
    """At its end; None: it did not start, or did not end."""
    reason: str
    """Why there is no status."""
    began: bool
    refusals: dict[str, int]


def reason_of(error: Exception) -> str:
    """The reason code in a refusal; `NO_ANSWER` where it has none."""
    known = {code.value for code in ReasonCode}
    return next((word for word in _WORD.findall(str(error)) if word in known), NO_ANSWER)


def started_in_time(
    attempt: Callable[[], RolloutStatus],
    stop: Callable[[], None],
    limit_s: float = START_S,
    pause_s: float = _PAUSE_S,
) -> Start:
    """Try a start until it is not refused, or for so long.

    Args:
        attempt: resets, starts, and waits for the end.
        stop: ends what may be under way though its answer was lost.
        limit_s: after so long no further attempt is made.
        pause_s: between two attempts.
    """
    refusals: Counter[str] = Counter()
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            return Start(attempt(), "", True, dict(refusals))
        except NotEndedError:
            with contextlib.suppress(RobotError):
                stop()
            return Start(None, "NOT_ENDED", True, dict(refusals))
        except RobotError as error:
            reason = reason_of(error)
            refusals[reason] += 1
            print(f"    not started: {error}", flush=True)
        if time.monotonic() + pause_s > deadline_s:
            return Start(None, reason, False, dict(refusals))
        with contextlib.suppress(RobotError):
            stop()
        time.sleep(pause_s)


class Cable:
    """Pulled out for a while when a rollout has come so far, once."""

    def __init__(self, link: BadLink) -> None:
        self._link = link
        self._reached = threading.Event()
        self._pulled = False
        self._thread = threading.Thread(target=self._pull, daemon=True)
        self._thread.start()

    def _pull(self) -> None:
        self._reached.wait()
        if self._pulled:
            self._link.be(Settings(cut=True))
            time.sleep(_CUT_S)
            self._link.be(Settings())

    def on_step(self, step: int) -> None:
        """The rollout has come so far."""
        if step >= _CUT_AFTER_STEPS:
            self._pulled = True
            self._reached.set()

    def back(self) -> None:
        """Wait until it is in again."""
        self._reached.set()
        self._thread.join()


def one_trial(
    system: DemoSystem, policy: str, name: str, limit_s: float, cable: Cable | None
) -> Trial:
    """One rollout, and after a trouble the reset that has to work.

    Args:
        system: the nodes.
        policy: its label.
        name: of the rollout.
        limit_s: the age above which an image is too old.
        cable: is pulled meanwhile; None: it is not.
    """
    began_s = time.monotonic()

    def attempt() -> RolloutStatus:
        system.reset()
        return system.run_rollout(name, ROLLOUT_S, cable.on_step if cable else None)

    start = started_in_time(attempt, system.stop_rollout)
    if cable is not None:
        cable.back()
    status = start.status
    opened = status is not None and status.outcome == RolloutStatus.SUCCESS
    recovered = None
    if start.began and not opened:
        try:
            system.reset()
            recovered = True
        except RobotError as error:
            print(f"    no reset: {error}", flush=True)
            recovered = False
    seen = Seen()
    if status is not None and status.recording:
        try:
            seen = read_steps(Path(status.recording), limit_s)
        except DatasetError as error:
            print(f"    not read: {error}", flush=True)
    return Trial(
        policy=policy,
        commit=running_commit(),
        started=start.began,
        opened=opened,
        reason=start.reason if status is None else str(status.reason),
        message="" if status is None else str(status.message),
        refusals=start.refusals,
        recovered=recovered,
        took_s=round(time.monotonic() - began_s, 1),
        seen=seen,
    )
