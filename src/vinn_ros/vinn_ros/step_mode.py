"""Step mode: one action for each press, as the paper's operators confirmed each step."""

from __future__ import annotations

import threading
from collections.abc import Callable

_POLL_S = 0.05


class StepMode:
    """Holds a rollout before each step until somebody allows it. Thread-safe."""

    def __init__(self, enabled: bool) -> None:
        self._news = threading.Condition()
        self._enabled = enabled
        self._allowed = False
        self._waiting = False

    @property
    def waiting(self) -> bool:
        """Whether a rollout is held now."""
        return self._waiting

    def enable(self, enabled: bool) -> None:
        """Switch; a rollout that is held goes on when it is switched off."""
        with self._news:
            self._enabled = enabled
            self._allowed = False
            self._news.notify_all()

    def allow(self) -> bool:
        """Let the one step that is waiting happen. False: none is; a press is not kept for later,
        or a second press would move a robot that nobody is looking at any more."""
        with self._news:
            if not self._waiting:
                return False
            self._allowed = True
            self._news.notify_all()
            return True

    def wait(self, ended: Callable[[], bool]) -> bool:
        """Wait for leave to do one step; at once when step mode is off.

        Args:
            ended: polled; True ends the waiting, for there is nothing to wait for any more.

        Returns:
            Whether there was a wait (the robot and the world may have changed since).
        """
        waited = False
        with self._news:
            self._allowed = False
            try:
                while self._enabled and not self._allowed and not ended():
                    waited = self._waiting = True
                    self._news.wait(_POLL_S)
            finally:
                self._waiting = self._allowed = False
        return waited
