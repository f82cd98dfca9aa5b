"""Runs the callbacks of a process's nodes: quick ones where they are heard of, others in threads.

rclpy's MultiThreadedExecutor hands every callback to another thread. On a busy processor each such
hand-over waits for the scheduler and for the interpreter lock, several times between a camera's
frame and the command that follows from it. Most callbacks only put something down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import (
    Executor,
    ExternalShutdownException,
    ShutdownException,
    TimeoutException,
)
from rclpy.task import Task


class QuickGroup(MutuallyExclusiveCallbackGroup):
    """Callbacks that take well under a millisecond and wait for nothing but a lock as short.

    Subscriptions, timers, clients and actions may be in it; no service that waits for others. A
    callback here that waited for an answer would wait for ever: it runs in the thread that hears.
    """


class NodeExecutor(Executor):
    """Spins nodes; what is not in a `QuickGroup` runs in one of some threads."""

    def __init__(self, threads: int) -> None:
        """Args: how many callbacks may wait at a time."""
        super().__init__()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="callback")
        self._running: list[Task] = []
        self._between: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def between_waits(self, action: Callable[[], None]) -> None:
        """Have `action` run by the spinning thread while it waits for nothing.

        The one time at which entities may be destroyed: rclpy waits for all there are, gathered one
        by one, and raises where one of them has gone in the meantime.
        """
        self._between.put(action)
        self.wake()

    def create_task(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Task:
        """See `Executor.create_task`; it begins in a thread at once.

        rclpy would have it begin when it has built its set of entities once more and waited on it,
        and it gives the goals of actions and what waits for an answer to the executor this way.
        """
        task = Task(callback, args, kwargs, executor=self)
        with contextlib.suppress(RuntimeError):  # no thread runs anything any more
            self._threads.submit(self._begin, task)
        self._running.append(task)
        return task

    def _begin(self, task: Task) -> None:
        task()
        if not task.done():
            # It waits for something: from here on rclpy tries it whenever it wakes.
            with self._tasks_lock:
                self._tasks.append((task, None, None))
            self.wake()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it, or have it run.

        Raises:
            Exception: what a callback raised.
        """
        self._run_between_waits()
        try:
            task, entity, _ = self.wait_for_ready_callbacks(timeout_sec=timeout_sec)
        except (ExternalShutdownException, ShutdownException, TimeoutException):
            return
        if entity is not None and isinstance(entity.callback_group, QuickGroup):
            task()
            _raise_problem(task)
        else:
            self._threads.submit(task)
            self._running.append(task)
        for done in [task for task in self._running if task.done()]:
            self._running.remove(done)
            _raise_problem(done)

    def _run_between_waits(self) -> None:
        if self._between.empty():
            return
        # What was found ready and is not yet taken is found ready again.
        self._cb_iter = None
        with contextlib.suppress(Empty):
            while True:
                self._between.get_nowait()()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """See `Executor.shutdown`; waits for the callbacks that run."""
        finished = bool(super().shutdown(timeout_sec))
        self._threads.shutdown()
        return finished


def _raise_problem(task: Task) -> None:
    problem = task.exception()
    if problem is not None:
        raise problem
