"""Who may move the robot: the session that the supervisor says is running, while it says so."""

from __future__ import annotations

import math
import threading
import time

from vinn.robot.types import ReasonCode


class Lease:
    """The right to execute steps; it runs out unless it is renewed. Thread-safe, steady clock."""

    def __init__(self, duration_s: float) -> None:
        """Args: how long a renewal lasts [s]."""
        self._duration_s = duration_s
        self._lock = threading.Condition()
        self._expecting = threading.Lock()
        self._session = ""
        self._attempts = 0
        self._renewed_s = -math.inf

    def renew(self, session: str, running: bool, attempts: int = 0) -> None:
        """Take over what the supervisor says about `session`; not running ends the lease."""
        with self._lock:
            self._session = session if running else ""
            self._attempts = attempts
            self._renewed_s = time.monotonic()
            self._lock.notify_all()

    def expect(self, session: str, timeout_s: float) -> None:
        """Wait a moment for word of `session`: its first step may overtake it.

        One waits at a time, so that strangers who ask for steps cannot use up every thread.
        """
        if not self._expecting.acquire(blocking=False):
            return
        try:
            with self._lock:
                self._lock.wait_for(lambda: self._session == session, timeout_s)
        finally:
            self._expecting.release()

    @property
    def session(self) -> str:
        """The session that may be executed now; empty: none."""
        with self._lock:
            if time.monotonic() - self._renewed_s > self._duration_s:
                return ""
            return self._session

    @property
    def attempts(self) -> int | None:
        """Closings on nothing that the supervisor allows in the session; None: as configured."""
        with self._lock:
            return self._attempts or None

    @property
    def lost_session(self) -> str:
        """The session that ran when the supervisor fell silent; empty: none, or it speaks."""
        with self._lock:
            lost = time.monotonic() - self._renewed_s > self._duration_s
            return self._session if lost else ""

    @property
    def alive(self) -> bool:
        """Whether the supervisor is heard, whatever it says."""
        with self._lock:
            return time.monotonic() - self._renewed_s <= self._duration_s

    def refusal(self, session: str) -> tuple[ReasonCode, str] | None:
        """Why no step of `session` may be executed now, or None."""
        with self._lock:
            age_s = time.monotonic() - self._renewed_s
            if age_s > self._duration_s:
                return (
                    ReasonCode.SUPERVISOR_LOST,
                    f"supervisor/status: older than {self._duration_s:g} s",
                )
            if not session or session != self._session:
                return (
                    ReasonCode.WRONG_SESSION,
                    f"session: {session!r}; allowed: {self._session or 'none is running'!r}",
                )
        return None
