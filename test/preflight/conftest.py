from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def ros() -> Iterator[Any]:
    """rclpy in a domain of its own, spinning in the background."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")
    from ros_harness import ros_context

    with ros_context() as harness:
        yield harness
