"""What this machine's processor offers a training: cores, and arithmetic in bfloat16."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]

CPUINFO = Path("/proc/cpuinfo")
TOPOLOGY = Path("/sys/devices/system/cpu")
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def physical_cores(topology: Path = TOPOLOGY) -> int:
    """Cores that this process may run on, counting hyper-threads of one core once."""
    if not hasattr(os, "sched_getaffinity"):
        return torch.get_num_threads()
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = topology / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        try:
            cores.add(siblings.read_text(encoding="ascii").strip())
        except OSError:
            cores.add(str(cpu))
    return len(cores)


def has_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor multiplies in bfloat16; False where Linux does not say so."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())


def chosen_precision(
    wanted: Literal["auto"] | Precision, accelerator: str, bfloat16: bool | None = None
) -> Precision:
    """The precision that a run really has.

    Args:
        wanted: a setting; `auto` is bf16-mixed on a processor that has it, else 32-true.
        accelerator: `auto`, `cpu` or `gpu`; a GPU keeps single precision unless told otherwise.
        bfloat16: whether the processor has it; None asks it.
    """
    if wanted != "auto":
        return wanted
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if accelerator == "gpu" or (accelerator == "auto" and has_gpu):
        return "32-true"
    return "bf16-mixed" if (has_bfloat16() if bfloat16 is None else bfloat16) else "32-true"
