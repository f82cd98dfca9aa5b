"""What is written appears whole; what killed processes left goes, and nothing else does."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vinn.demos.files import atomic_directory, atomic_file, remove_left_overs
from vinn.errors import ArtefactError, VinnError

WRITER = """
import sys
from pathlib import Path
from vinn.demos.files import atomic_directory, atomic_file
target = Path(sys.argv[2])
with (atomic_directory if sys.argv[1] == "folder" else atomic_file)(target) as writing:
    if sys.argv[1] == "folder":
        (writing / "part").write_bytes(b"half")
    else:
        writing.write(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def writer(kind: str, target: Path) -> subprocess.Popen[bytes]:
    """A process in the middle of writing; it ends when its standard input does."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, kind, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    return process


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path, kind: str) -> None:
    process = writer(kind, tmp_path / "target")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".target.")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert left.exists()
    with atomic_directory(tmp_path / "another") as folder:
        assert not left.exists()
        (folder / "file").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_somebody_is_writing_stays(tmp_path: Path, kind: str) -> None:
    process = writer(kind, tmp_path / "target")
    assert remove_left_overs(tmp_path) == []
    with atomic_file(tmp_path / "another") as file:
        file.write(b"whole")
    process.communicate(b"")
    assert process.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "target"]


def test_only_what_has_such_a_name_goes(tmp_path: Path) -> None:
    kept = [".hidden", ".a.partial", "a.partial", ".name.abcdefgh", ".frames.partial", "x", ".git"]
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / ".link.abcdefgh.partial").symlink_to(tmp_path / "x")
    (tmp_path / ".left.abcd_123.partial").mkdir()
    (tmp_path / ".left.abcd_124.partial").write_text("half")
    removed = remove_left_overs(tmp_path)
    assert sorted(path.name for path in removed) == [
        ".left.abcd_123.partial",
        ".left.abcd_124.partial",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, ".link.abcdefgh.partial"])


def _write_many(root: str, number: int) -> None:
    for count in range(40):
        with atomic_directory(Path(root) / f"{number}-{count}") as folder:
            (folder / "whole").write_bytes(b"x" * 1000)
        with atomic_file(Path(root) / "shared.json") as file:
            file.write(b"y" * 1000)


def test_writers_side_by_side_take_nothing_from_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_many, args=(str(tmp_path), n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    folders = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(folders) == 160 and all((path / "whole").stat().st_size == 1000 for path in folders)
    assert (tmp_path / "shared.json").read_bytes() == b"y" * 1000
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_block_that_raises_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("before")
    with pytest.raises(KeyboardInterrupt), atomic_file(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


DATA = np.random.default_rng(0).normal(size=(4000, 64)).astype(np.float32)


def _faiss(folder: Path) -> None:
    index = faiss.IndexFlatL2(64)
    index.add(DATA)
    faiss.write_index(index, str(folder / "index"))


WRITERS: dict[str, Callable[[Path], object]] = {
    "numpy": lambda folder: np.save(folder / "a.npy", DATA),
    "numpy archive": lambda folder: np.savez(folder / "a.npz", a=DATA),
    "parquet": lambda folder: pq.write_table(
        pa.table({"a": DATA.ravel()}), folder / "a.parquet", compression="none"
    ),
    "bytes": lambda folder: (folder / "a").write_bytes(DATA.tobytes()),
    "faiss": _faiss,
}


@pytest.mark.parametrize("name", WRITERS)
def test_whatever_a_library_says_of_a_full_disk_names_the_target(tmp_path: Path, name: str) -> None:
    """A limit on file sizes, as no small disk may be mounted everywhere."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    caught: Exception | None = None
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with atomic_directory(tmp_path / "target", ArtefactError) as folder:
            WRITERS[name](folder)
    except Exception as error:
        caught = error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if name == "faiss" and isinstance(caught, RuntimeError):
        # It says so in words alone; on a disk that is really full it is told by that.
        assert "write" in str(caught)
    else:
        assert isinstance(caught, VinnError), repr(caught)
        assert str(caught).startswith(f"{tmp_path / 'target'}: cannot be written: ")
    assert list(tmp_path.iterdir()) == []


def test_whatever_is_raised_while_the_disk_is_full_is_put_down_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vinn.demos.files._disk_is_full", lambda _: True)
    with (
        pytest.raises(ArtefactError, match="target: cannot be written: No space left"),
        atomic_directory(tmp_path / "target", ArtefactError),
    ):
        raise RuntimeError("Error: 'ret == (size)' failed: write error")
    assert list(tmp_path.iterdir()) == []


def test_a_bug_in_the_block_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "target"):
        _ = 1 // 0
    assert list(tmp_path.iterdir()) == []


def test_new_files_have_the_users_own_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "file") as file:
            file.write(b"")
        with atomic_directory(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750
