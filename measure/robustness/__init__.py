"""What rollouts survive: the shipped nodes around the tests' fakes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test"))

import shared_folders  # noqa: F401
