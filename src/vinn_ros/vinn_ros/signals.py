"""SIGINT and SIGTERM, taken when the main thread asks for them."""

from __future__ import annotations

import signal
from types import TracebackType

_STOP = frozenset({signal.SIGINT, signal.SIGTERM})


def hold_stop_signals() -> None:
    """From here on a request to stop waits until `StopSignals.wait` asks for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)


class StopSignals:
    """While inside, a request to stop waits until `wait` asks for it.

    rclpy's own handlers would take the context down at once, and then no node could send a last
    command or finish a recording.
    """

    def __enter__(self) -> StopSignals:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second Ctrl-C during the shutdown must not end it half-way.
        while self.wait(0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for a request to stop; True: there was one."""
        came = signal.sigtimedwait(_STOP, seconds)
        # A process that was suspended for longer than `seconds` and goes on (SIGCONT) gets an
        # empty record from CPython instead of None: nobody asked it to stop.
        return came is not None and came.si_signo in _STOP
