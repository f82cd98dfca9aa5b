"""glibc's allocator while a network trains: its blocks are kept, then given back.

Each step asks for the same large blocks as the one before. As shipped, glibc maps each of them anew
and unmaps it when it is free: the kernel fills every page with zeros again, which took a third of
the processor time of a step of EfficientNet-Lite0 at 224 pixels. Huge pages (THP_MEM_ALLOC_ENABLE)
did not help.
"""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt(3); none has a name in Python.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_NEVER_TRIM = 2**31 - 1
_MAPPINGS = 65536
"""glibc's own limit of mapped blocks."""
_LARGEST_MMAP_THRESHOLD = 32 << 20
"""Where glibc's threshold ends when it grows by itself; setting any of these stops its growth."""


@contextmanager
def blocks_kept() -> Iterator[None]:
    """Inside, freed blocks stay with the process; after it, what is free goes back to the system.

    Nothing but time changes. Without glibc's allocator it does nothing but collect garbage.
    """
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if libc is not None:
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)
    try:
        yield
    finally:
        # Lightning's trainer, loops and module refer to each other in circles.
        gc.collect()
        if libc is not None:
            libc.mallopt(_MMAP_MAX, _MAPPINGS)
            libc.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
            libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)
            libc.malloc_trim(0)
