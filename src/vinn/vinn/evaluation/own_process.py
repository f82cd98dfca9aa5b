"""Run functions in a process of their own.

Training with torch in a process that also holds OpenVINO or an OpenGL context has lost work
silently; and what training allocates is given back when its process ends.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from vinn.errors import VinnError

T = TypeVar("T")


class LostProcessError(VinnError):
    """The process was killed, e.g. because memory ran out."""


class OwnProcess:
    """A process that is started with the first call and kept for the next ones.

    Starting it and importing torch takes seconds, so a run of many trainings shares one.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call `function(*arguments)` there; its errors are raised here.

        Raises:
            LostProcessError: the process ended without an answer; the next call starts another.
        """
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                max_workers=1, mp_context=context, initializer=end_with_parent
            )
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool as cause:
            self.close()
            name = getattr(function, "__name__", str(function))
            raise LostProcessError(f"{name}: its process ended without an answer") from cause

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def end_with_parent() -> None:
    """A killed caller must not leave a training behind that the next call would meet."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call `function(*arguments)` in a process for this call alone; its errors are raised here.

    Raises:
        LostProcessError: the process ended without an answer.
    """
    process = OwnProcess()
    try:
        return process.call(function, *arguments)
    finally:
        process.close()
