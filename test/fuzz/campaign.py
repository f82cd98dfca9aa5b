"""Change files, read them, and count what must not happen.

All of it runs in a process of its own, which is watched: a reader that waits is ended and counted,
and one that takes the process with it is counted as well.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

LONGEST_WAIT_S = 10.0
"""Of a reader that waits, or of processor time: on a busy machine the clock alone says little."""
_IDLE_S = 0.05
"""Processor time within `LONGEST_WAIT_S` below which a process waits, and does not work."""
_STARTING_S = 240.0
"""Until the first answer: imports, and the sound files of every kind."""
_MEMORY_BYTES = 12 * 2**30
HERE = Path(__file__).parent


@dataclass
class Tally:
    """What became of the changes of one kind."""

    tried: int = 0
    refused: int = 0
    same: int = 0
    """Read, with the numbers that were there before."""
    escaped: list[str] = field(default_factory=list)
    """Exceptions that are no one-line refusal, and processes that died."""
    waited: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    """Read with other numbers though a checksum covers the file."""

    @property
    def bad(self) -> list[str]:
        """What must not happen."""
        return [*self.escaped, *self.waited, *self.silent]


def run_campaign(
    changes: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    begin: int = 0,
) -> dict[str, Tally]:
    """Make the changes of the numbers from `begin` to `changes`, and tally them by kind; the kinds
    take turns.
    """
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        while begin < changes:
            for number, kind, outcome, detail in _answers(begin, changes, seed, Path(work)):
                begin = number + 1
                _count(tallies.setdefault(kind, Tally()), outcome, detail)
                if on_progress is not None:
                    on_progress(begin, changes)
    return tallies


def processor_s(pid: int) -> float:
    """Processor time that a process has had, all its threads together [s]; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _count(tally: Tally, outcome: str, detail: str) -> None:
    tally.tried += 1
    if outcome == "refused":
        tally.refused += 1
    elif outcome == "read":
        tally.same += 1
    else:
        {"escaped": tally.escaped, "waited": tally.waited, "silent": tally.silent}[outcome].append(
            detail
        )


def _answers(begin: int, end: int, seed: int, work: Path) -> Iterator[tuple[int, str, str, str]]:
    """(number, kind, outcome, detail) of the changes from `begin` on, until a reader waits or the
    process dies; the last one says so.
    """
    arguments = [str(value) for value in (begin, end, seed, work)]
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True
    )
    lines: Queue[str] = Queue()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    listener = Thread(target=listen, daemon=True)
    listener.start()
    current: tuple[int, str, str] | None = None
    wait_s, before_s, last_s = _STARTING_S, 0.0, 0.0
    try:
        while True:
            try:
                line = lines.get(timeout=wait_s)
            except Empty:
                if current is None:
                    raise RuntimeError("the fuzzed process does not begin") from None
                spent_s = processor_s(process.pid)
                if spent_s - before_s < LONGEST_WAIT_S and spent_s - last_s > _IDLE_S:
                    last_s, wait_s = spent_s, LONGEST_WAIT_S
                    continue  # it works, and others have the processor
                yield *current[:2], "waited", current[2]
                return
            if line == "":
                if current is None:
                    if process.wait() != 0:
                        raise RuntimeError("the fuzzed process ended before a change")
                    return
                yield *current[:2], "escaped", f"{current[2]}: the process died"
                return
            mark, number, kind, rest = line.rstrip("\n").split("\t", 3)
            if mark == "begin":
                current, wait_s = (int(number), kind, rest), LONGEST_WAIT_S
                before_s = last_s = processor_s(process.pid)
            elif mark in ("refused", "read", "escaped", "silent"):
                yield int(number), kind, mark, rest
                current, wait_s = None, _STARTING_S
    finally:
        process.kill()
        process.wait()


# --- in the process that reads ----------------------------------------------------------------


def _main(begin: int, end: int, seed: int, work: Path) -> None:
    sys.path.insert(0, str(HERE.parent))
    import numpy as np
    import shared_folders  # noqa: F401 - the fakes
    from changes import change
    from samples import KINDS, digest, is_refusal

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.RLIM_INFINITY))
    # Libraries that write to standard output must not write among the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sound: dict[str, str] = {}
    for number in range(begin, end):
        kind = KINDS[number % len(KINDS)]
        rng = np.random.default_rng([seed, number])
        home = work / f"kind-{number % len(KINDS)}"
        if not home.exists():
            fresh = work / "fresh"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            kind.make(fresh)
            fresh.rename(home)
        if kind.name not in sound:
            sound[kind.name] = digest(kind.read(_copy(home, work)))
        root = _copy(home, work)
        files = sorted({p for glob in kind.files for p in root.glob(glob) if p.is_file()})
        path = files[int(rng.integers(len(files)))]
        how = change(path, path.read_bytes(), rng)
        where = f"{path.relative_to(root)} {how} (change {number})"
        print("begin", number, kind.name, where, sep="\t", file=answers)
        outcome, detail = "read", ""
        began_s = time.monotonic()
        try:
            found = digest(kind.read(root))
            if kind.covered and found != sound[kind.name]:
                outcome, detail = "silent", where
        except Exception as error:
            outcome = "refused" if is_refusal(error) else "escaped"
            said = " ".join(f"{type(error).__name__}: {error}".split())
            detail = said if outcome == "refused" else f"{where}: {said[:300]}"
        detail += f" [{time.monotonic() - began_s:.1f} s]"
        print(outcome, number, kind.name, detail, sep="\t", file=answers)


def _copy(home: Path, work: Path) -> Path:
    root = work / "root"
    with suppress(FileNotFoundError):
        shutil.rmtree(root)
    shutil.copytree(home, root)
    return root


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("begin", "end", "seed"):
        parser.add_argument(name, type=int)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    _main(options.begin, options.end, options.seed, options.work)
