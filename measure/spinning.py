"""A node of a measurement, spun in the background."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from vinn_ros.node import spinning


@contextmanager
def spun(node_class: type[spinning.NodeType]) -> Iterator[spinning.NodeType]:
    """Initialise rclpy and spin a node until the block ends."""
    rclpy.init(args=[])
    with spinning.spun(node_class()) as node:
        yield node
