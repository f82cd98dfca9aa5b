from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from ros_harness import Harness, ros_context


@pytest.fixture
def ros() -> Iterator[Harness]:
    """rclpy in a domain of its own, spinning in the background."""
    with ros_context() as harness:
        yield harness
