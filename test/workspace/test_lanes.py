"""Runs side by side share the tests: each is run once, whoever takes it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import lanes
import pytest

pytest_plugins = ["pytester"]

TEST = Path(__file__).parents[1]
CONFTEST = """
import pathlib
import time
import pytest

LOG = pathlib.Path(__file__).with_name("log")

def wait_until(there, timeout_s=60.0):
    deadline_s = time.monotonic() + timeout_s
    while not there():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)

def said():
    return LOG.read_text().split() if LOG.exists() else []

@pytest.fixture(autouse=True)
def log(request):
    with LOG.open("a") as file:
        file.write(request.node.nodeid + "\\n")

@pytest.fixture(scope="module")
def held():
    held = []
    yield held
    held.append("gone")

@pytest.fixture(scope="session")
def door_detector():
    return 1
"""
PLAIN = "def test_it(held):\n    assert held == []\n"
SLOW = "import pytest\n\n@pytest.mark.slow\ndef test_it():\n    pass\n"
COSTLY = "def test_it(door_detector):\n    pass\n\ndef test_more():\n    pass\n"


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runs say what they have taken, beside a suite without tests as yet."""
    monkeypatch.setenv("PYTHONPATH", str(TEST))
    pytester.makeini("[pytest]\nmarkers = slow")
    pytester.makeconftest(CONFTEST)
    taken = pytester.path / "taken"
    taken.mkdir()
    return taken


def write(pytester: pytest.Pytester, **files: str) -> None:
    for name, text in files.items():
        path = pytester.path / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def command(folder: Path, *options: str) -> list[str]:
    ours = ["-p", "lanes", "--lane", str(folder), "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", *ours, *options]


def run(pytester: pytest.Pytester, folder: Path, *options: str) -> tuple[int, str, list[str]]:
    """Exit code, output, and the tests in the order in which they ran."""
    log = pytester.path / "log"
    log.unlink(missing_ok=True)
    done = pytester.run(*command(folder, *options))
    ran = log.read_text().split() if log.exists() else []
    return done.ret, "\n".join([*done.outlines, *done.errlines]), ran


@pytest.mark.parametrize("seed", range(3))
def test_two_runs_at_a_time_run_each_test_once(
    pytester: pytest.Pytester, folder: Path, seed: int
) -> None:
    rng = random.Random(seed)
    names = [f"area_{rng.randrange(3)}__test_{number}" for number in range(rng.randrange(6, 12))]
    # The first test of each run waits for the other's.
    together = (
        "from conftest import said, wait_until\n\n"
        "def test_it(held):\n    assert held == []\n    wait_until(lambda: len(said()) > 1)\n"
    )
    counts = {name: rng.randrange(3) for name in names}
    for name, count in counts.items():
        more = "".join(f"\ndef test_{i}(held):\n    assert held == []\n" for i in range(count))
        write(pytester, **{name: together + more})
    runs = [
        subprocess.Popen(command(folder), cwd=pytester.path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120.0)[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], said
    ran = Counter((pytester.path / "log").read_text().split())
    assert set(ran.values()) == {1}
    assert len(ran) == sum(1 + count for count in counts.values())
    for name in names:
        assert f"{name.replace('__', '/')}.py::test_it" in ran
    assert all(f" of {len(ran)} tests; other runs took the others" in text for text in said)
    assert all(not text.count(f"\n{len(ran)} of") for text in said), "both had a part"


def test_slow_ones_come_first_and_a_costly_fixture_is_made_in_one_run(
    pytester: pytest.Pytester, folder: Path
) -> None:
    write(pytester, a__test_plain=PLAIN, a__test_detector=COSTLY, b__test_other=PLAIN)
    write(pytester, b__test_sight=COSTLY, c__test_slow=SLOW)
    code, said, ran = run(pytester, folder)
    assert code == pytest.ExitCode.OK, said
    places = ["a/test_detector.py"] * 2 + ["b/test_sight.py"] * 2
    places += ["c/test_slow.py", "a/test_plain.py", "b/test_other.py"]
    assert [name.partition("::")[0] for name in ran] == places
    assert sorted(path.name for path in folder.iterdir()) == [
        *("door_detector", "test_other", "test_plain", "test_slow")
    ]


@pytest.mark.parametrize("taken", [("test_1",), ("test_0", "test_2"), ("test_3", "test_4")])
def test_what_another_run_has_taken_is_left_to_it(
    pytester: pytest.Pytester, folder: Path, taken: tuple[str, ...]
) -> None:
    names = [f"area_{number // 2}__test_{number}" for number in range(5)]
    write(pytester, **dict.fromkeys(names, PLAIN))
    for name in taken:
        (folder / name).touch()
    code, said, ran = run(pytester, folder)
    assert code == pytest.ExitCode.OK, said
    left = [name.replace("__", "/") for name in names if not name.endswith(taken)]
    assert ran == [f"{name}.py::test_it" for name in left]
    assert f"\n{len(left)} of 5 tests" in said
    assert run(pytester, folder)[0::2] == (pytest.ExitCode.OK, [])


def test_a_failure_is_this_runs_and_what_comes_after_it_runs(
    pytester: pytest.Pytester, folder: Path
) -> None:
    write(pytester, a__test_0="def test_it():\n    assert 0\n", b__test_1=PLAIN)
    code, _, ran = run(pytester, folder)
    assert (code, len(ran)) == (pytest.ExitCode.TESTS_FAILED, 2)
    for path in folder.iterdir():
        path.unlink()
    code, _, ran = run(pytester, folder, "-x")
    assert (code, len(ran)) == (pytest.ExitCode.TESTS_FAILED, 1)


def test_a_run_that_cannot_share_does_not_begin(pytester: pytest.Pytester, folder: Path) -> None:
    write(pytester, test_0=PLAIN)
    code, said, ran = run(pytester, folder / "nowhere")
    assert (code, ran) == (pytest.ExitCode.USAGE_ERROR, [])
    assert f"--lane {folder / 'nowhere'}: no such folder" in said
    write(pytester, test_broken="import nothing_of_that_name\n")
    code, said, ran = run(pytester, folder)
    assert (code, ran) == (pytest.ExitCode.INTERRUPTED, [])
    assert list(folder.iterdir()) == []


def test_the_costly_fixtures_are_some_of_this_suite(request: pytest.FixtureRequest) -> None:
    manager = request.session._fixturemanager
    assert lanes.COSTLY
    assert all(manager.getfixturedefs(name, request.node) for name in lanes.COSTLY)
