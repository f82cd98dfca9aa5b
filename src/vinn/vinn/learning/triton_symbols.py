"""Torch beside a simulator's rendering: Triton keeps to the LLVM that is linked into it."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def bind_triton_to_itself() -> None:
    """Load Triton's library, if there is one, so that it finds its own symbols first.

    Torch loads it late, for instance when the first optimiser is made. Mesa's drivers make their
    libLLVM global in the process as soon as something is rendered. Triton's library, which has
    another LLVM in it, then calls into that one while it is being loaded: a segmentation fault.
    A library is loaded once, so what Python imports later is bound as it was bound here.
    """
    # Triton itself is not imported: that would take seconds.
    triton = find_spec("triton") if sys.platform == "linux" else None
    for folder in (triton and triton.submodule_search_locations) or ():
        for library in Path(folder, "_C").glob("libtriton*.so"):
            ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_DEEPBIND)
