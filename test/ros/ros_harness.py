"""A ROS context of its own for a test, with a node that asks and listens."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from ros_domain import held, own_domain
from vinn_ros.node import qos
from vinn_ros.node.calls import call
from vinn_ros.node.node_executor import NodeExecutor

SWITCH_INTERVAL_S = 0.0005
"""A dozen threads of one process wait for the interpreter's lock, each up to so long at a time.

With Python's 5 ms a camera and a driver among them were silent for up to 0.4 s.
"""


class Harness:
    """Nodes of this process, and what their topics brought.

    Each node has an executor of its own, as in a process of its own: rclpy gathers all entities of
    an executor anew for every callback.
    """

    def __init__(self) -> None:
        self.executor = MultiThreadedExecutor(num_threads=12)
        self.node = Node("harness", use_global_arguments=False)
        self.executor.add_node(self.node)
        self._nodes: list[Any] = []
        self._spun: list[tuple[Executor, threading.Thread]] = []
        self._news = threading.Condition()
        self.received: dict[str, list[Any]] = {}
        self._spin(self.executor)

    def add(self, node: Any) -> Any:
        """Spin a node; a VinnNode is configured and activated as well."""
        self._nodes.append(node)
        executor = NodeExecutor(threads=8)
        executor.add_node(node)
        self._spin(executor)
        if hasattr(node, "bring_up"):
            assert node.bring_up(), node.refusal
        return node

    def listen(self, message_type: type, topic: str, profile: Any = qos.STREAM) -> list[Any]:
        """Keep every message of a topic."""
        messages = self.received.setdefault(topic, [])

        def take(message: Any) -> None:
            with self._news:
                messages.append(message)
                self._news.notify_all()

        self.node.create_subscription(message_type, topic, take, profile)
        return messages

    def wait_for(
        self, condition: Callable[[], Any], timeout_s: float = 20.0, poll_s: float = 0.05
    ) -> Any:
        """Wait until `condition` is true; fails the test if it never is.

        It is asked at every message that is listened to and every `poll_s`.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            while True:
                value = condition()
                if value:
                    return value
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, "the condition did not come true in time"
                self._news.wait(min(left_s, poll_s))

    def call(self, service_type: Any, name: str, request: Any = None, timeout_s: float = 20) -> Any:
        """Call a service."""
        client = self.node.create_client(service_type, name)
        try:
            return call(client, request or service_type.Request(), timeout_s)
        finally:
            self.node.destroy_client(client)

    def close(self) -> None:
        """Take every node down."""
        for node in reversed(self._nodes):
            if hasattr(node, "take_down"):
                node.take_down()
        for executor, spinner in reversed(self._spun):
            executor.shutdown(timeout_sec=2.0)
            spinner.join(timeout=5.0)
        # Whoever still holds a node, such as the record of a failed test, does not keep it in
        # the graph, where a later test in this domain would find it.
        for node in (*reversed(self._nodes), self.node):
            node.destroy_node()

    def _spin(self, executor: Executor) -> None:
        def ended() -> bool:
            # A client may be destroyed between being gathered and being waited for.
            with contextlib.suppress(InvalidHandle):
                executor.spin()
                return True
            return False

        def spin() -> None:
            with contextlib.suppress(ExternalShutdownException):
                while not ended():
                    pass

        spinner = threading.Thread(target=spin, daemon=True)
        spinner.start()
        self._spun.append((executor, spinner))


@contextlib.contextmanager
def ros_context(domain: int | None = None) -> Iterator[Harness]:
    """rclpy in a domain of its own, or in the one that is given."""
    domain = own_domain() if domain is None else domain
    with held(domain):
        before = os.environ.get("ROS_DOMAIN_ID")
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        rclpy.init(args=[], domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        harness = Harness()
        try:
            yield harness
        finally:
            harness.close()
            rclpy.try_shutdown()
            sys.setswitchinterval(switch_interval_s)
            if before is None:
                del os.environ["ROS_DOMAIN_ID"]
            else:
                os.environ["ROS_DOMAIN_ID"] = before
