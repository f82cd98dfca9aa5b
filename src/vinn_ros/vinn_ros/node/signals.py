"""SIGINT and SIGTERM, taken when the main thread asks for them."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType

_STOP = frozenset({signal.SIGINT, signal.SIGTERM})


def end_on_stop_signals() -> None:
    """Until `hold_stop_signals`, a request to stop ends the process at once with exit code 0.

    For the time in which a process only loads modules, which on a busy machine is long: there is
    nothing yet that would have to be finished. One that was held back until now counts as well.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(0)

    for number in _STOP:
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


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
