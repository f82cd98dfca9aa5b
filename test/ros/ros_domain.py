"""ROS domains that no other test run on this machine uses meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

DOMAINS = range(1, 101)
"""Above 101, DDS takes ports that Linux gives to anybody's connections."""
_PER_RUN = 10


def own_domain() -> int:
    """A domain of this test run, other than those that are held and than the last ones given."""
    free = _free_domains()
    domain = free.pop(0)
    free.append(domain)
    return domain


@contextlib.contextmanager
def held(domain: int) -> Iterator[None]:
    """Nobody else in this test run is given the domain meanwhile."""
    free = _free_domains()
    ours = domain in free
    if ours:
        free.remove(domain)
    try:
        yield
    finally:
        if ours:
            free.append(domain)


@functools.cache
def _free_domains() -> list[int]:
    """The domains of this test run, by a lock that ends with its process; longest unused first."""
    for start in DOMAINS[::_PER_RUN]:
        path = Path(tempfile.gettempdir(), f"vinn-test-domains-{start}")
        with contextlib.suppress(PermissionError):  # another user's run
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                return list(range(start, start + _PER_RUN))
    raise RuntimeError(f"{len(DOMAINS) // _PER_RUN} test runs hold all ROS domains of this machine")
