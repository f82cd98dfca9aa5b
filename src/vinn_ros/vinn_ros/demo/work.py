"""Work for a process of its own, with progress and a log file.

Each phase that renders, loads torch or runs OpenVINO gets a fresh process: their threads and
OpenGL contexts do not mix with each other, nor with ROS 2's.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from vinn.errors import VinnError

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


class WorkFailed(Exception):
    """A process of work ended without a result."""


@dataclass
class Work:
    """A function that runs in a process of its own.

    Args:
        function: importable; called as `function(*arguments, on_progress=...)`; what it returns
            must pickle.
        arguments: must pickle.
        log: its output goes there.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    log: Path

    def start(self) -> Running:
        """Begin."""
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        process = context.Process(
            target=_run, args=(self.function, self.arguments, self.log, sender), daemon=True
        )
        process.start()
        sender.close()
        return Running(process, receiver, self.log)


@dataclass
class Running:
    """Work under way."""

    process: Any
    receiver: Connection
    log: Path

    def result(self, on_progress: Progress | None = None) -> Any:
        """Wait for the result.

        Raises:
            VinnError: the work raised it.
            WorkFailed: it raised something else, or its process died; the log says more.
        """
        while True:
            wait([self.receiver, self.process.sentinel])
            try:
                kind, value = self.receiver.recv()
            except EOFError:
                self.process.join()
                code = self.process.exitcode
                raise WorkFailed(f"its process ended with exit code {code}") from None
            if kind == "progress":
                if on_progress is not None:
                    on_progress(*value)
                continue
            self.process.join()
            if kind == "result":
                return value
            if isinstance(value, VinnError):
                raise value
            raise WorkFailed(str(value))

    def stop(self) -> None:
        """End it, finished or not."""
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()


def run_all(
    works: Sequence[Work], workers: int, on_progress: Callable[[int], None] | None = None
) -> list[Any]:
    """Run works, so many at a time, and return their results in order.

    Args:
        works: what to do.
        workers: processes at a time.
        on_progress: told what all works together have done.

    Raises:
        VinnError, WorkFailed: the first failure; the other works are ended.
    """
    done = [0] * len(works)

    def run(index: int) -> Any:
        def progress(now: int, total: int) -> None:
            done[index] = now
            if on_progress is not None:
                on_progress(sum(done))

        running = works[index].start()
        started.append(running)
        return running.result(progress)

    started: list[Running] = []
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(run, index) for index in range(len(works))]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for running in started:
                running.stop()
            raise


def _run(
    function: Callable[..., Any], arguments: tuple[Any, ...], log: Path, sender: Connection
) -> None:
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    try:
        value = function(*arguments, on_progress=lambda *done: sender.send(("progress", done)))
        sender.send(("result", value))
    except VinnError as error:
        sender.send(("error", error))
    except Exception as error:
        traceback.print_exc()
        sender.send(("error", f"{type(error).__name__}: {error}"))
    sender.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of OpenVINO and EGL sometimes crash the interpreter's own shutdown.
    os._exit(0)
