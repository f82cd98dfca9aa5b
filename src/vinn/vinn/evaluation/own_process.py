"""Run a function in a process of its own.

Training with torch in a process that also holds OpenVINO or an OpenGL context has lost work
silently; and what training allocates is given back when its process ends.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from vinn.errors import VinnError

T = TypeVar("T")


class LostProcessError(VinnError):
    """The process was killed, e.g. because memory ran out."""


def in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call `function(*arguments)` in a fresh process; its errors are raised here.

    Raises:
        LostProcessError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as cause:
            name = getattr(function, "__name__", str(function))
            raise LostProcessError(f"{name}: its process ended without an answer") from cause
