"""A node of a measurement, spun in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

NodeType = TypeVar("NodeType", bound=Node)


@contextmanager
def spun(node_class: type[NodeType]) -> Iterator[NodeType]:
    """The node, until the block ends."""
    rclpy.init(args=[])
    node = node_class()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinner = threading.Thread(target=executor.spin, daemon=True)
    spinner.start()
    try:
        yield node
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
        spinner.join(timeout=2.0)
