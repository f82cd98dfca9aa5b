from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="commands of nodes are parsed")

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
