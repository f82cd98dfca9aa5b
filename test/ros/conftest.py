from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")

from ros_harness import Harness, ros_context


@pytest.fixture
def ros() -> Iterator[Harness]:
    """rclpy in a domain of its own, spinning in the background."""
    with ros_context() as harness:
        yield harness
