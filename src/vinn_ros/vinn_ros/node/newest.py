"""A place for the newest of something, between the thread that brings it and the one that takes."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Holds one value; a newer one replaces it. Taking removes it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._closed = False

    def put(self, value: T) -> None:
        """Bring a value; one that nobody took is lost."""
        with self._changed:
            self._value = value
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait for a value; None: closed, or none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._value is not None or self._closed, timeout_s)
            value, self._value = self._value, None
            return None if self._closed else value

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """Let everyone who waits go, and take no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
