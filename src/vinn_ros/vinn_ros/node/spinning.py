"""A client's node that hears while its own thread does something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

NodeType = TypeVar("NodeType", bound=Node)


@contextmanager
def spun(node: NodeType) -> Iterator[NodeType]:
    """The node, spun in the background until the block ends; rclpy is shut down with it."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    spinner = threading.Thread(target=spin, name="spin", daemon=True)
    spinner.start()
    try:
        yield node
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
        spinner.join(timeout=2.0)
