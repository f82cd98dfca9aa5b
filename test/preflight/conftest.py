from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "ros"))


@pytest.fixture
def ros() -> Iterator[Any]:
    """rclpy in a domain of its own, spinning in the background."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")
    from ros_harness import ros_context

    with ros_context() as harness:
        yield harness
