"""Several trials at a time, each in a process with one thread: the results of one process, sooner.

Within a trial nothing can overlap: the next picture shows what the last step did. Physics, picture,
embedding and neighbours of one trial therefore run in turn, on one processor, and another trial has
the next processor. Software rendering by many threads gains little and disturbs the others, so each
process renders with one. Pictures and results are the same, trial by trial.
"""

from __future__ import annotations

import multiprocessing
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from vinn.errors import ConfigError
from vinn.evaluation.own_process import LostProcessError, end_with_parent

ONE_THREAD = {"LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Mesa's software renderer, and what NumPy and FAISS compute with."""
TRIALS_PER_PROCESS = 3
"""Fewer are not worth the seconds that a process takes to start."""
MAX_PROCESSES = 256

ResultT = TypeVar("ResultT", covariant=True)
ThingT = TypeVar("ThingT")


class Job(Protocol[ResultT]):
    """One trial: travels to another process and says there what is to be done."""

    def run(self) -> ResultT:
        """Do it."""


class Kept(Generic[ThingT]):
    """The things used last, for trials that need them again: to make one takes longer than a trial.

    Args:
        make: one for a key.
        free: what it holds, once another is needed instead.
        capacity: so many are kept.
    """

    def __init__(
        self,
        make: Callable[[Any], ThingT],
        free: Callable[[ThingT], None] | None = None,
        capacity: int = 1,
    ) -> None:
        self._make, self._free, self._capacity = make, free, capacity
        self._kept: list[tuple[object, ThingT]] = []
        _all_kept.add(self)

    def of(self, key: object) -> ThingT:
        """The one of a key; the one that was used longest ago makes room for it."""
        found = next((each for each in self._kept if each[0] == key), None)
        if found is None:
            while len(self._kept) >= self._capacity:
                self._let_go(self._kept[0])
            found = (key, self._make(key))
        else:
            self._kept = [other for other in self._kept if other is not found]
        self._kept.append(found)  # the newest stands last
        return found[1]

    def close(self) -> None:
        """Free all."""
        for each in list(self._kept):
            self._let_go(each)

    def _let_go(self, each: tuple[object, ThingT]) -> None:
        self._kept = [other for other in self._kept if other is not each]
        if self._free is not None:
            self._free(each[1])


_all_kept: weakref.WeakSet[Kept[Any]] = weakref.WeakSet()


def usable_processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class TrialPool:
    """Runs jobs by processes, which are started with the first jobs and end with `close`.

    Args:
        processes: at a time; None: one for each processor. With 1 jobs run in this process.

    Raises:
        ConfigError: not 1 to `MAX_PROCESSES`.
    """

    def __init__(self, processes: int | None = None) -> None:
        self.processes = min(usable_processors(), 8) if processes is None else processes
        if not 1 <= self.processes <= MAX_PROCESSES:
            raise ConfigError(f"processes = {self.processes}; allowed: 1 to {MAX_PROCESSES}")
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> TrialPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; jobs that were not begun are given up."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def run(self, jobs: Sequence[Job[ResultT]]) -> Iterator[ResultT]:
        """The results, in the order of the jobs, each as soon as those before it are there.

        Raises:
            VinnError: of a job; the jobs after it are given up.
            LostProcessError: a process was killed, e.g. because memory ran out.
        """
        if self.processes == 1 or (self._pool is None and len(jobs) < 2 * TRIALS_PER_PROCESS):
            try:
                for job in jobs:
                    yield job.run()
            finally:
                for kept in list(_all_kept):
                    kept.close()
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self.processes, mp_context=context, initializer=end_with_parent
            )
        with _environment(ONE_THREAD):  # of the processes, which start as jobs are handed in
            futures = [self._pool.submit(_run, job) for job in jobs]
        try:
            for future in futures:
                yield future.result()
        except BrokenProcessPool as cause:
            self.close()
            raise LostProcessError("a process ended in the middle of a trial") from cause
        finally:
            for future in futures:
                future.cancel()


def _run(job: Job[ResultT]) -> ResultT:
    return job.run()


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for a while."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
