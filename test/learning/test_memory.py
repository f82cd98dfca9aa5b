"""What a process holds while it trains, and after."""

from __future__ import annotations

import platform
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from vinn.learning.allocator import blocks_kept

MIB = 1 << 20
BLOCK_MIB = 160
PAGES = BLOCK_MIB * MIB // resource.getpagesize()

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")


def page_faults(act: Callable[[], object]) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    act()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


def block(size_mib: int = BLOCK_MIB) -> None:
    torch.empty(size_mib * MIB // 4).fill_(1)


def test_a_block_is_used_again_inside_and_given_back_after() -> None:
    before_mib = resident_mib()
    with blocks_kept():
        block()
        assert resident_mib() > before_mib + BLOCK_MIB / 2
        # Smaller: glibc up to 2.38 never fits an aligned block into a free one of its own size.
        assert page_faults(lambda: block(BLOCK_MIB - 16)) < PAGES / 20
    assert resident_mib() < before_mib + BLOCK_MIB / 4
    # Outside, the kernel gives each block anew: without it the line above would prove nothing.
    block()
    assert page_faults(lambda: block(BLOCK_MIB - 16)) > PAGES / 2


def test_an_error_gives_back_too() -> None:
    before_mib = resident_mib()
    with pytest.raises(ValueError, match="inside"), blocks_kept():
        block()
        raise ValueError("inside")
    assert resident_mib() < before_mib + BLOCK_MIB / 4
