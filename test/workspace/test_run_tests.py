"""`tools/run_tests.sh` runs every test once, and fails if anything did."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from _pytest.mark.expression import Expression

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "run_tests.sh"
# Stands for Python: says what it was asked for, and does what it was told to do then.
PYTHON = """#!/bin/sh
echo "$*" >> "{log}"
for which in "{folder}"/which.*; do
    [ -e "$which" ] || continue
    case "$*" in *"$(cat "$which")"*) . "{folder}/what.${{which##*.}}"; esac
done
echo "output of: $*"
"""
LANE, NODES, ALONE = "not ros and not alone", "-m ros and not alone", "-m alone "


class Runs:
    """The script with a Python that stands in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.python = folder / "python"
        self.python.write_text(PYTHON.format(log=self.log, folder=folder))
        self.python.chmod(0o755)
        self.log.touch()

    def tell(self, which: str, what: str) -> None:
        """What a run does whose arguments hold `which`."""
        number = len(list(self.folder.glob("which.*")))
        (self.folder / f"which.{number}").write_text(which)
        (self.folder / f"what.{number}").write_text(what + "\n")

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(SCRIPT), str(self.python), *command],
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        process = self.start(*command)
        said = process.communicate(timeout=60.0)[0]
        return process.returncode, said

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()

    def wait_for(self, count: int) -> None:
        deadline_s = time.monotonic() + 60.0
        while len(self.asked()) < count:
            assert time.monotonic() < deadline_s, self.asked()
            time.sleep(0.01)

    def left_behind(self) -> list[str]:
        """Folders of the script's own, and processes of it."""
        ours = [p for p in psutil.process_iter() if str(self.python) in _words(p)]
        return [path.name for path in self.folder.glob("tmp.*")] + [p.name() for p in ours]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_each_test_is_in_one_part() -> None:
    lines = [line for line in SCRIPT.read_text().splitlines() if not line.startswith("#")]
    found = re.findall(r"-m ('[a-z ]+'|alone)", "\n".join(lines))
    parts = [Expression.compile(text.strip("'")) for text in found]
    assert len(parts) == 3
    for has in itertools.product((False, True), repeat=2):
        marks = dict(zip(("ros", "alone"), has, strict=True))
        chosen = [part.evaluate(lambda name, marks=marks, **_: marks[name]) for part in parts]
        assert sum(chosen) == 1, marks


def test_what_is_marked_stands_where_it_is_looked_for() -> None:
    folders = re.findall(r"^nodes=\((.*)\)$", SCRIPT.read_text(), re.MULTILINE)[0].split()
    marked = [
        path.relative_to(ROOT)
        for path in (ROOT / "test").rglob("test_*.py")
        if re.search(r"\bmark\.(ros|alone)\b", path.read_text())
    ]
    astray = [path for path in marked if not any(path.is_relative_to(f) for f in folders)]
    # These speak of the marks: they write tests that have them.
    assert {path.name for path in astray} <= {"test_reruns.py", "test_lanes.py"}
    assert len(marked) > 40


def test_all_parts_run_and_what_they_say_is_shown(runs: Runs) -> None:
    code, said = runs.run()
    assert code == 0, said
    lanes = [line for line in runs.asked() if LANE in line]
    assert len(lanes) == 2 and len(set(lanes)) == 1, "they share a folder"
    assert sum(NODES in line for line in runs.asked()) == 1
    assert ALONE in runs.asked()[-1], "nothing runs beside it"
    assert len(runs.asked()) == 4
    assert sorted(said.splitlines()) == sorted(f"output of: {line}" for line in runs.asked())
    assert runs.left_behind() == []


@pytest.mark.parametrize("which", [LANE, NODES, ALONE])
def test_a_failure_counts_and_everything_runs_all_the_same(runs: Runs, which: str) -> None:
    runs.tell(which, "echo broken; exit 1")
    code, said = runs.run()
    assert (code, len(runs.asked())) == (1, 4)
    assert "broken" in said


def test_one_of_the_two_that_share_may_not_be_lost(runs: Runs) -> None:
    # Whichever takes the folder's only place dies, as by a fault in a library.
    runs.tell(LANE, 'mkdir "${0}.first" 2>/dev/null && kill -SEGV $$')
    assert runs.run()[0] == 1
    assert len(runs.asked()) == 4


def test_a_command_goes_first_and_ends_all_when_it_fails(runs: Runs) -> None:
    runs.tell("pytest", "sleep 600")
    began_s = time.monotonic()
    code, said = runs.run("sh", "-c", f"until [ $(wc -l < {runs.log}) = 2 ]; do :; done; exit 3")
    assert code == 1, said
    assert time.monotonic() - began_s < 300.0, "the others were not awaited"
    assert len(runs.asked()) == 2
    assert not any(ALONE in line for line in runs.asked())
    assert runs.left_behind() == []


def test_a_command_that_goes_well_comes_before_the_second_of_the_two(runs: Runs) -> None:
    code, said = runs.run("echo", "no complaints")
    assert code == 0
    assert said.splitlines()[0] == "no complaints"
    assert len(runs.asked()) == 4


def test_an_interrupt_ends_every_part(runs: Runs) -> None:
    runs.tell("pytest", "sleep 600")
    process = runs.start()
    runs.wait_for(3)
    process.terminate()
    assert process.wait(60.0) == 130
    process.communicate(timeout=60.0)  # nobody holds its output any more
    assert runs.left_behind() == []
