"""Where a figure comes from: the command line that ran, and the commit it ran from."""

from __future__ import annotations

import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def running_command() -> str:
    """This process's command line, as one types it in the checkout; no paths of this machine.

    An argument that is a path outside of the working directory is its last part alone.
    """
    arguments = [_without_place(argument) for argument in sys.argv[1:]]
    original = sys.orig_argv
    if "-m" in original[:4]:
        module = original[original.index("-m") + 1]
        return shlex.join(["python", "-m", module, *arguments])
    name = Path(sys.argv[0]).name
    return shlex.join([name, *arguments] if name else ["python"])


@lru_cache(maxsize=1)
def running_commit() -> str:
    """The checkout's commit, 12 digits, with '+' where tracked files differ; empty: no checkout."""
    here = Path(__file__).parent
    commit = _git(here, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return ""
    # Results themselves are written while others are still measured.
    changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ":/src", ":/config")
    return commit + ("+" if changed else "")


def _git(directory: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _without_place(argument: str) -> str:
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", "")
    path = Path(value if equals else argument)
    if not path.is_absolute():
        return argument
    shown = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name
    return option + equals + shown
