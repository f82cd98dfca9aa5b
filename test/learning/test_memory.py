"""What a process holds while it trains, and after."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from vinn.demos.store import Dataset
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


TRAININGS = """
import shutil, sys
from pathlib import Path
from vinn.demos.store import Dataset
from vinn.learning.config import self_supervision_config
from vinn.learning.encoder_training import train_encoder

out = Path(sys.argv[2])
settings = sys.argv[3:]
for index in range(20):
    method = ("byol", "simclr", "vicreg")[index % 3]
    config = self_supervision_config(method, overrides=settings)
    train_encoder([Dataset.open(Path(sys.argv[1]))], config, out)
    shutil.rmtree(out)
    print(int(Path("/proc/self/statm").read_text().split()[1]), flush=True)
"""


@pytest.mark.slow
def test_twenty_trainings_in_a_row_do_not_grow(squares: Dataset, tmp_path: Path) -> None:
    settings = [
        "backbone.name=resnet18",
        "backbone.weights=random",
        "backbone.image_px=64",
        "projector_hidden=64",
        "projector_out=32",
        "optimizer.learning_rate=0.0001",
        "run.batch_size=16",
        "run.max_steps=2",
        "run.accelerator=cpu",
        "collapse_limit=0",
    ]
    done = subprocess.run(
        [sys.executable, "-c", TRAININGS, str(squares.root), str(tmp_path / "run"), *settings],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    resident = [int(line) * resource.getpagesize() / MIB for line in done.stdout.split()]
    assert len(resident) == 20
    assert max(resident[5:]) - max(resident[:5]) < 50, resident
