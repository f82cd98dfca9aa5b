"""A failure counts, except of tests that name why they may be tried again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_rerunfailures", reason="reruns nothing")
pytest_plugins = ["pytester"]

TEST = Path(__file__).parents[1]
SECOND_TIME_LUCKY = """
import pytest
tries = []

{mark}
def test_it():
    tries.append(None)
    assert len(tries) == 2
"""
NAMED = '@pytest.mark.crosses_processes(reason="two nodes find each other")'


@pytest.fixture
def outcome(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(TEST))

    def run(mark: str, *options: str) -> tuple[int, str]:
        pytester.makepyfile(SECOND_TIME_LUCKY.format(mark=mark))
        ours = ["-p", "reruns", "--strict-markers", "-p", "no:cacheprovider", *options]
        done = pytester.run(sys.executable, "-m", "pytest", *ours)
        return done.ret, "\n".join([*done.outlines, *done.errlines])

    return run


def test_one_with_a_reason_is_rerun_counted_and_named(outcome) -> None:
    code, said = outcome(NAMED)
    assert code == pytest.ExitCode.OK
    assert "1 reruns; 1 tests may be rerun" in said
    assert "1 x test_one_with_a_reason_is_rerun_counted_and_named.py::test_it: two nodes" in said


def test_nodes_over_dds_have_their_reason(outcome, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = ros")
    code, said = outcome("@pytest.mark.ros")
    assert code == pytest.ExitCode.OK
    assert "1 reruns; 1 tests may be rerun" in said
    assert "::test_it: nodes find each other over DDS" in said


def test_any_other_fails_at_once(outcome) -> None:
    code, said = outcome("")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "1 failed" in said and "may be rerun" not in said


@pytest.mark.parametrize("strict", [("--no-reruns",), ("-p", "no:rerunfailures")])
def test_a_strict_run_reruns_nothing(outcome, strict: tuple[str, ...]) -> None:
    code, said = outcome(NAMED, *strict)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "1 failed" in said and "may be rerun" not in said


@pytest.mark.parametrize(
    ("mark", "named"),
    [
        ("@pytest.mark.crosses_processes", "without a reason"),
        ('@pytest.mark.crosses_processes(reason=" ")', "without a reason"),
        ("@pytest.mark.flaky(reruns=3)", "allowed: crosses_processes(reason)"),
    ],
)
def test_nothing_is_rerun_without_a_reason(outcome, mark: str, named: str) -> None:
    code, said = outcome(mark)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert named in said
