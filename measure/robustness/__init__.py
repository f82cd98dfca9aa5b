"""What rollouts survive: the shipped nodes around the tests' fakes."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "test" / name) for name in ("fakes", "ros", "faults", "robot")]
