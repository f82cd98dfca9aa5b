"""Puts the folders of what several areas share on the path of imports: fakes and harnesses.

`conftest.py` imports it for every test; measurements that use the tests' fakes import it as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

_TEST = Path(__file__).resolve().parent
SHARED = ("fakes", "fakes/robot", "faults", "fuzz", "ros")

sys.path[:0] = [str(_TEST / folder) for folder in SHARED]
