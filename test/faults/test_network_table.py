"""The table of a bad network: what is tried again, what is kept, and what a row says."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from vinn.errors import DatasetError, RobotError
from vinn.evaluation.results import Results

pytest.importorskip("rclpy")

from vinn_ros.demo.system import NotEndedError

from measure.network.__main__ import CELL_TRIES, fill
from measure.network.cell import VAIN_STARTS, Plan, gives_up, untried
from measure.network.rollouts import NO_ANSWER, reason_of, started_in_time
from measure.network.table import add
from measure.network.trials import KeptTrials, Seen, Trial

LABEL = "squares@0123"
LATE = RobotError("supervisor/start_rollout: CAMERA_STALE: camera: no frame for 2.3 s")
SILENT = RobotError("supervisor/start_rollout: POLICY_LOST: policy/prediction: silent for 5 s")
DEAF = RobotError("supervisor/reset: no answer within 60 s")


def attempts(*outcomes: Any) -> tuple[Callable[[], Any], list[str]]:
    """Attempts that end so, one after the other, the last one for ever; and what was done."""
    done: list[str] = []
    endless = itertools.chain(outcomes, itertools.repeat(outcomes[-1]))

    def attempt() -> Any:
        done.append("attempt")
        outcome = next(endless)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return attempt, done


@pytest.mark.parametrize(
    ("refused", "counted"),
    [
        ([], {}),
        ([LATE], {"CAMERA_STALE": 1}),
        ([SILENT, LATE, SILENT, DEAF], {"CAMERA_STALE": 1, "POLICY_LOST": 2, NO_ANSWER: 1}),
    ],
)
def test_a_refused_start_is_tried_again_and_counted(
    refused: list[Exception], counted: dict[str, int]
) -> None:
    status = SimpleNamespace(reason="SUCCESS")
    attempt, done = attempts(*refused, status)
    start = started_in_time(attempt, lambda: done.append("stop"), limit_s=60.0, pause_s=0.0)
    assert start.status is status and start.began and start.refusals == counted
    # What may have begun though its answer was lost is ended before the next attempt.
    assert done == ["attempt", *(["stop", "attempt"] * len(refused))]


def test_a_start_that_is_refused_for_too_long_says_why() -> None:
    attempt, done = attempts(SILENT, LATE)
    start = started_in_time(attempt, lambda: None, limit_s=0.2, pause_s=0.01)
    assert start.status is None and not start.began and start.reason == "CAMERA_STALE"
    assert start.refusals["POLICY_LOST"] == 1
    assert sum(start.refusals.values()) == len(done) > 1


def test_a_rollout_that_does_not_end_is_stopped_and_not_begun_again() -> None:
    attempt, done = attempts(NotEndedError("rollout a: not ended within 240 s"))

    def stop() -> None:
        done.append("stop")
        raise DEAF

    start = started_in_time(attempt, stop, limit_s=60.0, pause_s=0.0)
    assert (start.status, start.began, start.reason) == (None, True, "NOT_ENDED")
    assert done == ["attempt", "stop"]


def test_a_reason_is_a_word_that_the_stack_knows() -> None:
    assert reason_of(LATE) == "CAMERA_STALE" and reason_of(DEAF) == NO_ANSWER
    assert (
        reason_of(RobotError("supervisor/reset: refused: HTTP ROBOT_ERROR: mode")) == "ROBOT_ERROR"
    )


def trial(opened: bool = True, **changed: Any) -> Trial:
    values = {"reason": "SUCCESS" if opened else "CAMERA_STALE", "started": True, **changed}
    return Trial(policy=LABEL, commit="abc", opened=opened, **values)


def test_what_was_kept_is_read_again_and_gone_on_with(tmp_path: Path) -> None:
    first = KeptTrials(tmp_path / "raw", "20 ms 2 %", LABEL)
    told = [
        trial(seen=Seen([0.1, 0.25], 1, 40, 38), took_s=12.5),
        trial(opened=False, recovered=True, refusals={"POLICY_LOST": 2}),
    ]
    for one in told:
        first.add(one)
    assert KeptTrials(tmp_path / "raw", "20 ms 2 %", LABEL).trials == told
    assert KeptTrials(tmp_path / "raw", "20 ms 20 %", LABEL).trials == []
    # Killed in the middle of a line: that rollout is measured anew, the others are not.
    whole = first.path.read_bytes()
    first.path.write_bytes(whole + whole[: len(whole) // 3].split(b"\n")[0][:-5])
    torn = KeptTrials(tmp_path / "raw", "20 ms 2 %", LABEL)
    assert torn.trials == told
    torn.add(trial(took_s=3.0))
    assert KeptTrials(tmp_path / "raw", "20 ms 2 %", LABEL).trials == [*told, trial(took_s=3.0)]


def test_trials_of_another_policy_and_no_trials_are_named(tmp_path: Path) -> None:
    kept = KeptTrials(tmp_path, "5 Mbit/s", LABEL)
    kept.add(trial())
    with pytest.raises(DatasetError, match=r"5_Mbit_s.jsonl: trials of policy squares@0123; allow"):
        KeptTrials(tmp_path, "5 Mbit/s", "other@4567")
    for line in ("[]", "{}", "nonsense", '{"seen": {"eyes": 2}}'):
        kept.path.write_text(line + "\n")
        with pytest.raises(DatasetError, match="line 1: no trial"):
            KeptTrials(tmp_path, "5 Mbit/s", LABEL)


def rows(trials: list[Trial]) -> dict[str, tuple[Any, str, bool]]:
    results = Results("network", "make network", of_kept=True)
    add(results, "cell", trials)
    return {row.name.partition(": ")[2]: (row.value, row.unit, row.met) for row in results.rows}


def test_a_cell_in_which_nothing_starts_opened_no_door_and_says_why() -> None:
    vain = [trial(False, started=False, reason=why) for why in ("POLICY_LOST", "CAMERA_STALE")]
    found = rows([*vain, *[untried(vain[-1])] * 3])
    assert found["doors opened"][:2] == (0, "of 5 (95 % 0% to 43%)")
    assert found["could not start"][:2] == (
        5,
        "CAMERA_STALE 4, POLICY_LOST 1; 3 of them not tried after the others",
    )
    assert found["motions on a stale image"] == (0, "of 0 motions", True)
    assert found["halts"][:2] == (0, "none")
    assert "camera to command, median" not in found


def test_a_cell_counts_doors_halts_recoveries_ages_and_frames() -> None:
    found = rows(
        [
            trial(refusals={"POLICY_LOST": 3}, seen=Seen([0.1] * 98, 0, 100, 90)),
            trial(False, recovered=True, seen=Seen([0.3, 2.0], 1, 100, 60)),
            trial(False, recovered=False, reason="POLICY_LOST"),
            trial(False, started=False, reason="BUSY", refusals={"BUSY": 9}),
        ]
    )
    assert found["doors opened"][:2] == (1, "of 4 (95 % 5% to 70%)")
    assert found["halts"][:2] == (2, "CAMERA_STALE 1, POLICY_LOST 1")
    assert found["resets that worked after one"][:2] == (1, "of 2")
    assert found["could not start"][:2] == (1, "BUSY 1")
    assert found["starts refused at first"][:2] == (3, "POLICY_LOST 3")
    assert found["camera to command, median"][:2] == (100.0, "ms")
    assert 300.0 < found["camera to command, p99"][0] < 2000.0
    assert found["motions on a stale image"] == (1, "of 100 motions", False)
    assert found["frames dropped before the supervisor"][:2] == (25.0, "% of 200")


def test_a_cell_is_given_up_when_several_in_a_row_could_not_start() -> None:
    vain = trial(False, started=False)
    assert not gives_up([vain] * (VAIN_STARTS - 1))
    assert not gives_up([vain, trial(), *[vain] * (VAIN_STARTS - 1)])
    assert gives_up([trial(), *[vain] * VAIN_STARTS])


def _one_and_dies(plan: Plan) -> None:
    KeptTrials(plan.raw, plan.name, plan.label).add(trial(took_s=float(os.getpid())))
    os._exit(3)


def _fills(plan: Plan) -> None:
    kept = KeptTrials(plan.raw, plan.name, plan.label)
    while len(kept.trials) < plan.count:
        kept.add(trial(took_s=float(os.getpid())))


def plan(directory: Path, count: int) -> Plan:
    return Plan(
        name="0 ms 10 %", policy=directory, label=LABEL, count=count, raw=directory,
        deadline_s=time.monotonic() + 600.0, later_cells=0, later_trials=0,
    )  # fmt: skip


def test_a_cell_whose_nodes_die_goes_on_with_others(tmp_path: Path) -> None:
    what = plan(tmp_path, CELL_TRIES + 2)
    fill(what, _one_and_dies)
    trials = KeptTrials(tmp_path, what.name, LABEL).trials
    assert [one.started for one in trials] == [True] * CELL_TRIES + [False] * 2
    assert {one.reason for one in trials if not one.started} == {"NODES"}
    # Each in a process of its own, none in this one.
    assert len({one.took_s for one in trials if one.started} - {os.getpid()}) == CELL_TRIES


def test_a_cell_is_filled_once(tmp_path: Path) -> None:
    what = plan(tmp_path, 4)
    KeptTrials(tmp_path, what.name, LABEL).add(trial(took_s=1.0))
    fill(what, _fills)
    trials = KeptTrials(tmp_path, what.name, LABEL).trials
    assert len(trials) == 4 and trials[0].took_s == 1.0
