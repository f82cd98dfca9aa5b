"""Trials by several processes: those of one, in order, each once."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from vinn.errors import ConfigError, RobotError
from vinn.evaluation.trial_pool import ONE_THREAD, TRIALS_PER_PROCESS, Kept, TrialPool


@dataclass(frozen=True)
class Square:
    """A job that also says where it ran."""

    number: int
    fails: int = -1

    def run(self) -> tuple[int, int, dict[str, str | None]]:
        if self.number == self.fails:
            raise RobotError(f"number {self.number}")
        return self.number**2, os.getpid(), {name: os.environ.get(name) for name in ONE_THREAD}


@dataclass(frozen=True)
class Dying:
    """A job that takes its process with it."""

    number: int

    def run(self) -> int:
        if self.number == 4:
            os._exit(9)
        return self.number


MANY = [Square(number) for number in range(4 * TRIALS_PER_PROCESS)]


@pytest.fixture(scope="module")
def pair() -> Any:
    with TrialPool(2) as pool:
        yield pool


def test_results_come_in_order_from_processes_with_one_thread(pair: TrialPool) -> None:
    before = dict(os.environ)
    found = list(pair.run(MANY))
    assert [square for square, *_ in found] == [job.number**2 for job in MANY]
    assert os.getpid() not in {process for _, process, _ in found}
    assert all(environment == ONE_THREAD for *_, environment in found)
    assert dict(os.environ) == before


def test_few_jobs_or_one_process_stay_in_this_one() -> None:
    for pool, jobs in ((TrialPool(1), MANY), (TrialPool(2), MANY[:3])):
        with pool:
            assert {process for _, process, _ in pool.run(jobs)} == {os.getpid()}


def test_an_error_of_a_job_is_raised_and_the_pool_goes_on(pair: TrialPool) -> None:
    jobs = [replace(job, fails=5) for job in MANY]
    found = []
    with pytest.raises(RobotError, match="number 5"):
        found += [square for square, *_ in pair.run(jobs)]
    assert [square for square, *_ in pair.run(MANY)] == [job.number**2 for job in MANY]


def test_what_was_done_before_a_process_was_lost_is_there() -> None:
    done = []
    with TrialPool(2) as pool:
        jobs = [Dying(number) for number in range(8)]
        with pytest.raises(Exception, match="a process ended"):
            for result in pool.run(jobs):
                done.append(result)  # noqa: PERF402  (what came before the error counts)
        assert done == list(range(len(done)))
        assert len(done) <= 4
        # Another run starts other processes.
        assert [square for square, *_ in pool.run(MANY)] == [job.number**2 for job in MANY]


@pytest.mark.parametrize("processes", [0, -1, 257])
def test_impossible_numbers_are_refused(processes: int) -> None:
    with pytest.raises(ConfigError, match=f"processes = {processes}"):
        TrialPool(processes)


def test_only_the_thing_used_last_is_kept() -> None:
    made: list[object] = []
    freed: list[object] = []

    def make(key: object) -> list[object]:
        made.append(key)
        return [key]

    kept = Kept(make, freed.append)
    assert [kept.of(key) for key in "aabba"] == [["a"], ["a"], ["b"], ["b"], ["a"]]
    assert (made, freed) == (["a", "b", "a"], [["a"], ["b"]])
    kept.close()
    kept.close()
    assert freed[-1] == ["a"]
    assert len(freed) == 3


def test_the_ones_used_longest_ago_make_room() -> None:
    freed: list[object] = []
    kept = Kept(str, freed.append, capacity=2)
    for key in "abacb":
        assert kept.of(key) == key
    # c took the place of b, then b that of a.
    assert freed == ["b", "a"]


def test_what_is_kept_is_freed_after_a_run_in_this_process(tmp_path: Path) -> None:
    freed: list[str] = []
    kept = Kept(str, freed.append)
    kept.of(1)
    list(TrialPool(1).run(MANY[:1]))
    assert freed == ["1"]
